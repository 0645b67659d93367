import { promises as fs } from 'node:fs'
import path from 'node:path'
import { Kysely, PostgresDialect } from 'kysely'
import { FileMigrationProvider, Migrator } from 'kysely/migration'
import pg from 'pg'

const FOLDER = path.resolve(import.meta.dirname, '../../migrations')

/**
 * Brings the database to the newest schema; parallel callers wait for one another (Kysely's advisory lock:
 * needs a direct connection, not a transaction-mode pooler).
 * @returns the names of the migrations that were applied
 */
export function migrate(databaseUrl: string): Promise<string[]> {
  return withMigrator(databaseUrl, async (migrator) => {
    const { error, results = [] } = await migrator.migrateToLatest()
    if (error !== undefined) throw error
    return results.filter((result) => result.status === 'Success').map((result) => result.migrationName)
  })
}

/** Takes the newest migration back. @returns its name */
export function migrateDown(databaseUrl: string): Promise<string[]> {
  return withMigrator(databaseUrl, async (migrator) => {
    const { error, results = [] } = await migrator.migrateDown()
    if (error !== undefined) throw error
    return results.map((result) => result.migrationName)
  })
}

/** How the database's schema compares with the migrations of this version. */
export type SchemaState = { state: 'current' } | { state: 'behind' | 'ahead'; migrations: string[] }

/** Reads one table; rejects with the driver's error when the database is away. */
export async function schemaState(databaseUrl: string): Promise<SchemaState> {
  const known = (await fs.readdir(FOLDER))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => path.parse(file).name)
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 2_000,
    query_timeout: 5_000,
  })
  await client.connect()
  try {
    const { rows } = await client.query(`select to_regclass('kysely_migration') is not null as migrated`)
    const applied = rows[0]?.migrated
      ? (await client.query('select name from kysely_migration')).rows.map((row) => String(row.name))
      : []
    const missing = known.filter((name) => !applied.includes(name)).sort()
    const foreign = applied.filter((name) => !known.includes(name)).sort()
    if (foreign.length > 0) return { state: 'ahead', migrations: foreign }
    return missing.length > 0 ? { state: 'behind', migrations: missing } : { state: 'current' }
  } finally {
    await client.end()
  }
}

async function withMigrator<T>(databaseUrl: string, work: (migrator: Migrator) => Promise<T>): Promise<T> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2, connectionTimeoutMillis: 5_000 })
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  try {
    return await work(
      new Migrator({ db, provider: new FileMigrationProvider({ fs, path, migrationFolder: FOLDER }) }),
    )
  } finally {
    await db.destroy()
  }
}
