import { promises as fs } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { FileMigrationProvider, type Migration, type MigrationResultSet, Migrator } from 'kysely/migration'
import { codeOf } from '../error-code.ts'
import { appliedTo, set, tryLock, unlock, withDatabase } from './migration-database.ts'
import { MIGRATION_SETTINGS, type Session } from './session.ts'

const FOLDER = path.resolve(import.meta.dirname, '../../migrations')

/** The exports of a file of `migrations/`. */
export interface StoredMigration extends Migration {
  /**
   * False for a migration that cannot run in a transaction, such as `create index concurrently`. Such a migration
   * must be safe to repeat: a build that was cut off leaves an invalid index, which the next attempt drops first.
   */
  inTransaction?: boolean
}

export interface MigrateOptions {
  /** Called with a line for the operator when the migration waits or takes long. */
  report?(line: string): void
  /** Other migrations than those of `migrations/`, by name. */
  migrations?: Record<string, StoredMigration>
}

type Direction = 'up' | 'down'

interface Migrations {
  db: Kysely<unknown>
  session: Session
  known: Record<string, StoredMigration>
  report(line: string): void
}

const LOCK_PAUSE_MS = 500
/** Attempts while a table is in use, and the pause between them, in which other waiting statements can run. */
const ATTEMPTS = 20
const ATTEMPT_PAUSE_MS = 3_000
const PROGRESS_MS = 5_000
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Brings the database to the newest schema. Parallel callers wait for one another. Neighbouring migrations share
 * one transaction, so that all or none of them are applied; a migration with `inTransaction: false` is a step of
 * its own.
 *
 * @returns the names of the migrations that were applied
 * @throws Error with a sentence for the operator, or the error of the server
 */
export function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<string[]> {
  return withMigrations(databaseUrl, options, async (migrations) => {
    const applied: string[] = []
    for (;;) {
      applied.push(...(await stepsInTransaction(migrations, 'up')))
      const alone = await stepAlone(migrations, 'up')
      if (alone === undefined) return applied
      applied.push(alone)
    }
  })
}

/** Reverts the newest migration. @returns its name, or an empty list when there is none */
export function migrateDown(databaseUrl: string, options: MigrateOptions = {}): Promise<string[]> {
  return withMigrations(databaseUrl, options, async (migrations) => {
    const reverted = await stepsInTransaction(migrations, 'down')
    if (reverted.length > 0) return reverted
    const alone = await stepAlone(migrations, 'down')
    return alone === undefined ? [] : [alone]
  })
}

/** The result of comparing the database's schema with the migrations of this version. */
export type SchemaState = { state: 'current' } | { state: 'behind' | 'ahead'; migrations: string[] }

/**
 * Reads one table.
 * @throws UnfitDatabase when version or encoding of the database cannot be used
 * @throws Error of the driver when the database is away
 */
export async function schemaState(databaseUrl: string): Promise<SchemaState> {
  const files = await fs.readdir(FOLDER)
  const known = files.filter((file) => file.endsWith('.ts')).map((file) => path.parse(file).name)
  const applied = await withDatabase(databaseUrl, READ_TIMEOUTS, appliedTo)
  const missing = known.filter((name) => !applied.includes(name)).sort()
  const foreign = applied.filter((name) => !known.includes(name)).sort()
  if (foreign.length > 0) return { state: 'ahead', migrations: foreign }
  return missing.length > 0 ? { state: 'behind', migrations: missing } : { state: 'current' }
}

const READ_TIMEOUTS = { connectionTimeoutMillis: 2_000, query_timeout: 5_000 }
const MIGRATION_TIMEOUTS = { connectionTimeoutMillis: 5_000 }

/** Takes all steps before the first one that cannot run in a transaction; downwards, one step. */
async function stepsInTransaction(migrations: Migrations, direction: Direction): Promise<string[]> {
  for (let attempt = 1, isWaiting = false; ; ) {
    try {
      const done = await migrations.db
        .transaction()
        .setIsolationLevel('read committed')
        .execute(async (db) => {
          await set(db, MIGRATION_SETTINGS, true)
          if (!(await tryLock(db, 'pg_try_advisory_xact_lock'))) return undefined
          const names = await remaining({ ...migrations, db }, direction)
          const last = names[names.findIndex((name) => isAlone(migrations, name)) - 1] ?? names.at(-1)
          if (last === undefined || isAlone(migrations, names[0])) return []
          return run({ ...migrations, db }, (steps) =>
            direction === 'up' ? steps.migrateTo(last) : steps.migrateDown(),
          )
        })
      if (done !== undefined) return done
      if (!isWaiting) migrations.report('Another migration is running. Waiting for its end.')
      isWaiting = true
      await sleep(LOCK_PAUSE_MS)
    } catch (error) {
      if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error
      if (attempt === ATTEMPTS) throw new Error(LOCKED, { cause: error })
      attempt += 1
      migrations.report(
        'A table is in use by a long transaction. The migration has released its locks and tries again.',
      )
      await sleep(ATTEMPT_PAUSE_MS)
    }
  }
}

const LOCKED =
  'A table was in use by a long transaction all the time, so nothing was changed. Look for it in pg_stat_activity (oldest xact_start), and run the migration again.'

/** Takes the next step if it cannot run in a transaction. @returns its name, or undefined when there is none */
async function stepAlone(migrations: Migrations, direction: Direction): Promise<string | undefined> {
  const [first] = await remaining(migrations, direction)
  if (!isAlone(migrations, first)) return undefined
  if (migrations.session.isPooled) {
    throw new Error(
      `${first} cannot run through a pooler such as PgBouncer. Run the migration with a DATABASE_URL that names the Postgres server itself.`,
    )
  }
  return migrations.db.connection().execute(async (db) => {
    // The wait for the lock uses no transaction, because an index build waits for the end of all older transactions.
    while (!(await tryLock(db, 'pg_try_advisory_lock'))) await sleep(LOCK_PAUSE_MS)
    try {
      await set(db, { ...MIGRATION_SETTINGS, lock_timeout: '0' }, false)
      const [name] = await remaining({ ...migrations, db }, direction)
      if (!isAlone(migrations, name)) return undefined
      const done = await run({ ...migrations, db }, (steps) =>
        direction === 'up' ? steps.migrateUp() : steps.migrateDown(),
      )
      return done[0]
    } finally {
      await unlock(db)
    }
  })
}

function isAlone({ known }: Migrations, name: string | undefined): boolean {
  return name !== undefined && known[name]?.inTransaction === false
}

/** The names of the steps that can be taken in this direction, in their order. */
async function remaining({ db, known }: Migrations, direction: Direction): Promise<string[]> {
  const applied = await appliedTo(db)
  if (direction === 'down') return applied.sort().reverse()
  return Object.keys(known)
    .filter((name) => !applied.includes(name))
    .sort()
}

async function run(
  { db, known, report }: Migrations,
  work: (steps: Migrator) => Promise<MigrationResultSet>,
): Promise<string[]> {
  const provider = {
    getMigrations: async () => mapValues(known, (migration, name) => reporting(name, migration, report)),
  }
  const { error, results = [] } = await work(
    new Migrator({ db, provider, disableTransactions: !db.isTransaction }),
  )
  if (error !== undefined) throw error
  return results.map(({ migrationName }) => migrationName)
}

/** The same migration. It reports every few seconds that it is still running. */
function reporting(name: string, { up, down }: StoredMigration, report: Migrations['report']): Migration {
  const watched = (work: Migration['up']) => async (db: Kysely<unknown>) => {
    const since = performance.now()
    const progress = setInterval(() => {
      report(`${name} has been running for ${Math.round((performance.now() - since) / 1000)} s.`)
    }, PROGRESS_MS)
    await work(db).finally(() => clearInterval(progress))
  }
  return { up: watched(up), ...(down === undefined ? {} : { down: watched(down) }) }
}

function mapValues<T, U>(values: Record<string, T>, map: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value, key)]))
}

async function withMigrations<T>(
  databaseUrl: string,
  { report = () => {}, migrations }: MigrateOptions,
  work: (migrations: Migrations) => Promise<T>,
): Promise<T> {
  const known =
    migrations ?? (await new FileMigrationProvider({ fs, path, migrationFolder: FOLDER }).getMigrations())
  return withDatabase(databaseUrl, MIGRATION_TIMEOUTS, (db, session) => work({ db, session, known, report }))
}
