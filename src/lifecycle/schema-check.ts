import { setTimeout as sleep } from 'node:timers/promises'
import { StartError } from '../start-error.ts'
import { type SchemaState, schemaState } from '../stores/migrations.ts'
import { UnfitDatabase } from '../stores/session.ts'

export interface SchemaCheck {
  /** Checks once. @returns whether the database has answered @throws StartError when its schema is another one */
  check(): Promise<boolean>
  /** Checks every second until the database has answered. @throws like `check` */
  untilKnown(signal: AbortSignal): Promise<void>
  /** For readiness. Rejects until the schema is known to be the right one. */
  passed(): Promise<void>
}

const PAUSE_MS = 1_000

/**
 * Compares the schema of the database with the migrations of this version. Another schema stops the start, and so does a
 * database that can never be used. While the database is away, the check is repeated.
 */
export function schemaCheck(
  databaseUrl: string,
  log: { warn(object: object, message: string): void },
): SchemaCheck {
  let known = false

  async function check(): Promise<boolean> {
    if (known) return true
    const schema = await schemaState(databaseUrl).catch((error: unknown) => {
      if (error instanceof UnfitDatabase) throw new StartError(error.message, { cause: error })
      const why = error instanceof Error ? error.message : String(error)
      log.warn({ err: error }, `the database does not accept connections yet: ${why}`)
      return undefined
    })
    if (schema === undefined) return false
    if (schema.state !== 'current') throw schemaError(schema)
    known = true
    return true
  }

  return {
    check,
    async untilKnown(signal) {
      while (!(await check())) {
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
        if (signal.aborted) return
      }
    },
    async passed() {
      if (!known) throw new Error('the schema has not been compared yet')
    },
  }
}

/** Says what to do about a schema of another version. */
export function schemaError({ state, migrations }: Exclude<SchemaState, { state: 'current' }>): StartError {
  const names = migrations.join(', ')
  return new StartError(
    state === 'behind'
      ? `The database lacks migrations (${names}). Run: npm run migrate`
      : `The database has migrations that this version does not know (${names}). Deploy the newer version.`,
  )
}
