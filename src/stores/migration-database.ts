import { Kysely, PostgresAdapter, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { openSession, type Session } from './session.ts'

/** The same key as that of Kysely's own lock, so that migrations of earlier versions wait for it, too. */
const LOCK = sql.lit('3853314791062309107')

/** Connects once, and closes the connection when the work is done. */
export async function withDatabase<T>(
  databaseUrl: string,
  timeouts: pg.PoolConfig,
  work: (db: Kysely<unknown>, session: Session) => Promise<T>,
): Promise<T> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1, ...timeouts })
  // When a connection breaks, the statement that uses it rejects.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const db = new Kysely<unknown>({ dialect: new MigrationDialect({ pool }) })
  try {
    const client = await pool.connect()
    const session = await openSession(client).finally(() => client.release())
    return await work(db, session)
  } finally {
    await pool.end()
  }
}

/** The names of the migrations that the database has, in no order. */
export async function appliedTo(db: Kysely<unknown>): Promise<string[]> {
  const table = await sql<{ exists: boolean }>`
    select to_regclass('kysely_migration') is not null as exists`.execute(db)
  if (table.rows[0]?.exists !== true) return []
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db)
  return rows.map(({ name }) => name)
}

/** @returns whether this session has the lock now: for the session, or until the end of the transaction */
export async function tryLock(
  db: Kysely<unknown>,
  name: 'pg_try_advisory_lock' | 'pg_try_advisory_xact_lock',
): Promise<boolean> {
  const { rows } = await sql<{ taken: boolean }>`select ${sql.raw(name)}(${LOCK}::bigint) as taken`.execute(
    db,
  )
  return rows[0]?.taken === true
}

export async function unlock(db: Kysely<unknown>): Promise<void> {
  await sql`select pg_advisory_unlock(${LOCK}::bigint)`.execute(db)
}

/** Sets those of the settings that the server knows, for the transaction or for the session. */
export async function set(
  db: Kysely<unknown>,
  settings: Record<string, string>,
  isLocal: boolean,
): Promise<void> {
  await sql`select set_config(key, value, ${isLocal}) from json_each_text(${JSON.stringify(settings)}::json)
    where current_setting(key, true) is not null`.execute(db)
}

/** This module takes the lock itself, within the transaction if there is one, since a pooler may change sessions later. */
class UnlockedAdapter extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}

class MigrationDialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return new UnlockedAdapter()
  }
}
