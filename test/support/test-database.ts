import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { startPostgres } from '../../src/local/postgres.ts'
import { administer } from './postgres.ts'

/** The variables that test files find in their environment; support/postgres.ts reads them. */
export type TestDatabase = {
  environment: { TEST_DATABASE_SERVER: string; TEST_DATABASE_TEMPLATE: string }
  stop(): Promise<void>
}

/**
 * A server for one run of the tests. It holds one database with all migrations applied, which every test file copies.
 *
 * @param given the address of a server that is already there
 */
export async function startTestDatabase(given: string | undefined): Promise<TestDatabase> {
  const server = given === undefined ? await throwAwayServer() : { url: given, stop: async () => {} }
  const template = `test_template_${randomBytes(6).toString('hex')}`
  try {
    await administer(server.url, `create database ${template}`)
    await migrateTemplate(server.url, template)
  } catch (error) {
    await server.stop()
    throw error
  }
  return {
    environment: { TEST_DATABASE_SERVER: server.url, TEST_DATABASE_TEMPLATE: template },
    async stop() {
      if (given !== undefined)
        await administer(server.url, `drop database if exists ${template} with (force)`)
      await server.stop()
    },
  }
}

async function throwAwayServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-chat-tests-'))
  await chmod(dataDir, 0o711) // Root starts the server as another user, who must be able to enter this folder.
  const removed = () => rm(dataDir, { recursive: true, force: true, maxRetries: 3 })
  const quiet = { info() {}, warn: console.error, error: console.error }
  try {
    const server = await startPostgres({ dataDir, log: quiet, ephemeral: true })
    return { url: server.url, stop: () => server.stop().finally(removed) }
  } catch (error) {
    await removed()
    throw error
  }
}

async function migrateTemplate(server: string, template: string): Promise<void> {
  const migrations = resolve('src/stores/migrations.ts')
  if (!existsSync(migrations)) return
  const url = new URL(server)
  url.pathname = `/${template}`
  const { migrate } = await import(pathToFileURL(migrations).href)
  await migrate(url.href)
}
