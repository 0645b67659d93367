import { parseArgs } from 'node:util'
import { ConfigError, loadConfig } from '../config/config.ts'
import { readSecretFiles } from '../config/secret-files.ts'
import { migrate, migrateDown } from '../stores/migrations.ts'

const usage = `Brings the database at DATABASE_URL to the newest schema.

  npm run migrate [-- --down]

  --down  takes the newest migration back instead`

/** @returns the exit code: 0 done, 1 refused or failed, 2 called wrongly */
async function main(): Promise<number> {
  const down = readArguments(process.argv.slice(2))
  if (typeof down === 'string') return complain(`${down}\n\n${usage}`, 2)
  const url = readSecretFiles(process.env).environment.DATABASE_URL?.trim() ?? ''
  const fault = addressFault(url)
  if (fault !== undefined) return complain(fault, 1)
  try {
    const names = await (down ? migrateDown : migrate)(url, { report: console.log })
    const done = names.map((name) => `${down ? 'reverted' : 'applied'} ${name}`)
    console.log(done.length === 0 ? 'Nothing to do.' : done.join('\n'))
    return 0
  } catch (error) {
    return complain(`Migration failed: ${error instanceof Error ? error.message : String(error)}`, 1)
  }
}

function readArguments(args: string[]): boolean | string {
  try {
    return parseArgs({ args, options: { down: { type: 'boolean', default: false } } }).values.down
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * Says why the address of the database cannot be used. A migration needs the address alone, and runs without the secrets
 * of the service. When the address is missing, the answer lists all other missing settings as well.
 */
function addressFault(url: string): string | undefined {
  try {
    loadConfig(process.env)
    if (url !== '') return undefined
    return 'npm run migrate needs DATABASE_URL. The embedded database is migrated by npm start itself.'
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const isAddress = url !== '' && !error.faults.some((fault) => /^DATABASE_URL\b/.test(fault))
    return isAddress ? undefined : error.message
  }
}

function complain(message: string, code: number): number {
  console.error(message)
  return code
}

process.exitCode = await main()
