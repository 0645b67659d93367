import { Kysely, PostgresDialect, type PostgresPool } from 'kysely'
import pg from 'pg'
import { codeOf, Problem, problem } from '../errors.ts'
import type { Schema } from './schema.ts'

/** The database as the stores see it. */
export interface Database {
  /**
   * Runs one round trip. Deadlocks and serialization failures are repeated twice; when the database is away
   * the rejection is `database_unavailable`. From then on one call a second tries whether it is back, and all
   * others are refused at once.
   */
  run<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>
  /** A prepared statement on a hot path, where building the query would cost more than running it. */
  named<Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]): Promise<Row[]>
  /** Connections in the pool, for metrics. */
  pool(): { total: number; idle: number; waiting: number }
  /** Called whenever the database answers again after having been away. */
  onRecovery(listener: () => void): void
  close(): Promise<void>
}

export interface DatabaseOptions {
  url: string
  poolMax: number
  log: { warn(object: object, message: string): void }
}

/** For a connection of the pool, be it a new one or one that others have to give back first. */
const CONNECT_TIMEOUT_MS = 4_000
const STATEMENT_TIMEOUT_MS = 4_000
/** Counted by the client, for a network that swallows the answer. */
const QUERY_TIMEOUT_MS = 5_000
const BREAKER_MS = 1_000
const REPEATABLE = new Set(['40P01', '40001'])
const REPETITIONS = 2
const QUERY_CANCELED = '57014'
/** Classes of SQLSTATE that say "the database is away", not "the statement is wrong". */
const AWAY_CLASSES = new Set(['08', '53', '57'])
const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])
const CLIENT_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|not queryable/

/** Opens a pool; no connection is made before the first call. */
export function openDatabase({ url, poolMax, log }: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolMax,
    application_name: 'agent-chat-service',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    idle_in_transaction_session_timeout: 10_000,
    keepAlive: true,
  })
  // Without a listener an idle connection that breaks ends the process.
  pool.on('error', (error) => log.warn({ err: error }, 'idle database connection broke'))
  // So does one that is in use: its statement has failed already.
  pool.on('connect', (client) => client.on('error', () => {}))
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: discarding(pool) }) })
  const recovered: Array<() => void> = []
  const breaker = { away: false, trying: false, triedAt: 0 }

  async function guarded<T>(work: () => Promise<T>): Promise<T> {
    const isTrial = breaker.away
    if (isTrial) {
      if (breaker.trying || Date.now() < breaker.triedAt + BREAKER_MS) throw problem('database_unavailable')
      breaker.trying = true
    }
    try {
      const result = await repeated(work)
      answered()
      return result
    } catch (error) {
      if (!isAway(error)) {
        answered()
        throw error
      }
      // A statement that ran out of time, or of connections, says nothing about the others.
      if (codeOf(error) !== QUERY_CANCELED && !isPoolBusy(error))
        Object.assign(breaker, { away: true, triedAt: Date.now() })
      throw problem('database_unavailable', { cause: error })
    } finally {
      if (isTrial) breaker.trying = false
    }
  }

  function answered(): void {
    if (!breaker.away) return
    breaker.away = false
    for (const listener of recovered) listener()
  }

  return {
    run: (work) => guarded(() => work(db)),
    named: (name, text, values) =>
      guarded(async () => {
        const client = await pool.connect()
        return using(client, async () => (await client.query({ name, text, values })).rows)
      }),
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    onRecovery: (listener) => recovered.push(listener),
    close: () => db.destroy(),
  }
}

/** Whether the error says that the database cannot be reached or is going down. */
export function isAway(error: unknown): boolean {
  if (error instanceof Problem) return error.code === 'database_unavailable'
  const code = codeOf(error)
  if (code.length === 5 && AWAY_CLASSES.has(code.slice(0, 2))) return true
  return NETWORK_CODES.has(code) || (error instanceof Error && CLIENT_MESSAGES.test(error.message))
}

/** pg-pool's words for a wait in its own queue; a connection that cannot be made fails with others. */
const isPoolBusy = (error: unknown): boolean =>
  error instanceof Error && error.message === 'timeout exceeded when trying to connect'

/** Whether a rejected call was certainly never sent: refused by the breaker, or without a connection. */
export function neverSent(error: unknown): boolean {
  const cause = error instanceof Problem ? error.details.cause : error
  return (
    cause === undefined ||
    codeOf(cause) === 'ECONNREFUSED' ||
    (cause instanceof Error && /when trying to connect|due to connection timeout/.test(cause.message))
  )
}

/** Whether the database refused the content of a statement (SQLSTATE classes 22 and 23). */
export function isContentError(error: unknown): boolean {
  return /^(22|23|54)/.test(codeOf(error))
}

async function repeated<T>(work: () => Promise<T>): Promise<T> {
  for (let repetition = 0; ; repetition += 1) {
    try {
      return await work()
    } catch (error) {
      if (repetition === REPETITIONS || !REPEATABLE.has(codeOf(error))) throw error
    }
  }
}

async function using<T>(client: pg.PoolClient, work: () => Promise<T>): Promise<T> {
  let broken = false
  try {
    return await work()
  } catch (error) {
    broken = isAway(error)
    throw error
  } finally {
    client.release(broken)
  }
}

/**
 * Kysely gives a connection back whatever happened on it; one whose query timed out would then delay the
 * next caller by as long again. This pool throws broken connections away.
 */
function discarding(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect()
      let broken = false
      return {
        async query(...args: Parameters<pg.PoolClient['query']>) {
          try {
            return await client.query(...args)
          } catch (error) {
            broken ||= isAway(error)
            throw error
          }
        },
        release: () => client.release(broken),
      }
    },
  } as unknown as PostgresPool
}
