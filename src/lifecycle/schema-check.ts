import { setTimeout as sleep } from 'node:timers/promises'
import { StartError } from '../start-error.ts'
import { type SchemaState, schemaState } from '../stores/migrations.ts'

export interface SchemaCheck {
  /** Looks once. @returns whether the database could be asked @throws StartError when its schema is another */
  look(): Promise<boolean>
  /** Looks every second until the database could be asked. @throws like `look` */
  untilKnown(signal: AbortSignal): Promise<void>
  /** For readiness: rejects until the schema is known to be the right one. */
  passed(): Promise<void>
}

const PAUSE_MS = 1_000

/** A schema of another version stops the start; a database that is away does not: readiness waits for it. */
export function schemaCheck(
  databaseUrl: string,
  log: { warn(object: object, message: string): void },
): SchemaCheck {
  let known = false

  async function look(): Promise<boolean> {
    if (known) return true
    const schema = await schemaState(databaseUrl).catch((error: unknown) => {
      log.warn({ err: error }, 'the schema cannot be compared yet: the database does not answer')
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
