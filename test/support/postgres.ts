import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** The part of a tap test that this file needs. */
type Teardown = { teardown(fn: () => Promise<void>): void }

/** A database with all migrations, for this test alone. The teardown drops it. It takes about 40 ms. */
export function createDatabase(t: Teardown): Promise<string> {
  return create(t, fromRunner('TEST_DATABASE_TEMPLATE'))
}

/** An empty database, for tests of the migrations. */
export function createEmptyDatabase(t: Teardown): Promise<string> {
  return create(t, 'template0')
}

async function create(t: Teardown, template: string): Promise<string> {
  const server = fromRunner('TEST_DATABASE_SERVER')
  const name = `test_${randomBytes(8).toString('hex')}`
  await administer(server, `create database ${name} template ${template} strategy file_copy`)
  t.teardown(() => administer(server, `drop database if exists ${name} with (force)`))
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

function fromRunner(name: string): string {
  const value = process.env[name]
  if (!value)
    throw new Error(`${name} is not set. Run this file through the runner: npm test -- test/….test.ts`)
  return value
}

/** Executes one statement on a connection of its own. */
export async function administer(server: string, statement: string): Promise<void> {
  const client = new pg.Client({
    connectionString: server,
    connectionTimeoutMillis: 10_000,
    query_timeout: 60_000,
  })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
