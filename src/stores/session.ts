import type pg from 'pg'

/** Longest time that one statement of the service may take on the server. */
export const STATEMENT_TIMEOUT_MS = 4_000

/**
 * Settings of the server on which every statement relies, since a database or a role may have other defaults.
 *
 * Left as the operator has set them: `search_path` and `role` (where the tables are and who owns them),
 * `default_transaction_read_only` (a read-only database must not be written), `synchronous_commit`. Irrelevant,
 * because no statement reads or writes such values: `IntervalStyle`, `bytea_output`, `extra_float_digits`.
 */
const SETTINGS = {
  DateStyle: 'ISO, MDY',
  TimeZone: 'UTC',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  statement_timeout: String(STATEMENT_TIMEOUT_MS),
  // Waiting for a lock is bounded by `statement_timeout`.
  lock_timeout: '0',
}

/** Settings that make sense only where the server's session belongs to this connection alone. */
const SESSION_SETTINGS = {
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  idle_in_transaction_session_timeout: '10000',
  // The pool closes idle connections itself.
  idle_session_timeout: '0',
  // Postgres 17 and newer have this setting.
  transaction_timeout: '0',
}

/** Settings during a migration. A migration may take long. Its wait for a lock must not block other statements long. */
export const MIGRATION_SETTINGS = {
  ...SETTINGS,
  statement_timeout: '0',
  lock_timeout: '2000',
  idle_in_transaction_session_timeout: '0',
  transaction_timeout: '0',
}

/**
 * Begins a transaction that has all settings, for connections through a pooler: a setting of the session would
 * be lost, or would reach other clients of the pooler, as soon as the pooler changes the server's connection.
 */
export const BEGIN_WITH_SETTINGS = [
  'begin isolation level read committed',
  ...Object.entries(SETTINGS).map(([name, value]) => `set local ${name} = '${value}'`),
].join('; ')

/** Oldest version of Postgres that the service supports, as `server_version_num`. */
const OLDEST_VERSION = 140_000

/** This service cannot use the database until the operator changes it. The message says what to change. */
export class UnfitDatabase extends Error {
  override name = 'UnfitDatabase'
}

export interface Session {
  /** A pooler stands between the service and the server: consecutive transactions may meet different sessions. */
  isPooled: boolean
}

/** Compares the process id of the connection's greeting with the server's: a pooler greets with another number. */
const OWN = 'pg_backend_pid() = $1::integer'

const OPEN_SESSION = `
  select ${OWN} as "isOwn", current_setting('server_encoding') as encoding,
    current_setting('server_version_num')::integer as version, current_setting('transaction_read_only') as "readOnly",
    ${Object.entries({ ...SETTINGS, ...SESSION_SETTINGS })
      .map(
        ([name, value]) =>
          `case when ${OWN} and current_setting('${name}', true) is not null then set_config('${name}', '${value}', false) end`,
      )
      .join(', ')}`

/**
 * Prepares a new connection in one round trip: sets what the service relies on, unless a pooler stands between.
 * Startup parameters are not used, because PgBouncer refuses those that it does not know.
 *
 * @throws UnfitDatabase when version or encoding of the database cannot be used
 * @throws Error when the database takes no writes, such as a standby after a failover
 */
export async function openSession(client: pg.ClientBase): Promise<Session> {
  const { processID = null } = client as { processID?: number | null }
  const { rows } = await client.query({
    text: OPEN_SESSION,
    values: [processID],
    query_timeout: STATEMENT_TIMEOUT_MS,
  } as pg.QueryConfig)
  const { isOwn, encoding, version, readOnly } = rows[0] ?? {}
  if (version < OLDEST_VERSION) {
    const major = Math.floor(version / 10_000)
    throw new UnfitDatabase(`The database server is Postgres ${major}. This service needs 14 or newer.`)
  }
  if (encoding !== 'UTF8') {
    throw new UnfitDatabase(
      `The encoding of the database is ${encoding}, which cannot hold every text. Create the database with: create database … encoding 'UTF8' template template0`,
    )
  }
  if (readOnly === 'on') {
    // A pooler would keep this session after the database takes writes again, so the session is ended at the server.
    if (isOwn !== true) await client.query('select pg_terminate_backend(pg_backend_pid())').catch(() => {})
    throw new Error('the database is read-only: it is a standby, or default_transaction_read_only is on')
  }
  return { isPooled: isOwn !== true }
}
