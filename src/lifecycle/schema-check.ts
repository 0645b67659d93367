import { setTimeout as sleep } from 'node:timers/promises'
import { StartError } from '../start-error.ts'
import { type SchemaState, schemaState } from '../stores/migrations.ts'
import { UnfitDatabase } from '../stores/session.ts'

export interface SchemaCheck {
  /** Looks once. @returns whether the database could be asked @throws StartError when its schema is another */
  look(): Promise<boolean>
  /** Looks every second until the database could be asked. @throws like `look` */
  untilKnown(signal: AbortSignal): Promise<void>
  /** For readiness: rejects until the schema is known to be the right one. */
  passed(): Promise<void>
}

const PAUSE_MS = 1_000

/** A schema of another version stops the start, and so does a database that can never be used. One that is away is waited for. */
export function schemaCheck(
  databaseUrl: string,
  log: { warn(object: object, message: string): void },
): SchemaCheck {
  let known = false

  async function look(): Promise<boolean> {
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
    look,
    async untilKnown(signal) {
      while (!(await look())) {
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
