import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { Problem, problem } from '../errors.ts'
import { createBreaker } from './breaker.ts'
import { openConnections } from './connections.ts'
import { isRepeatable, judge, NoConnection } from './database-errors.ts'
import type { Schema } from './schema.ts'

export { isAway, isContentError, neverSent } from './database-errors.ts'

/** Kysely for single statements. A transaction of several statements would break behind a pooler. */
export type Statements = Omit<
  Kysely<Schema>,
  'transaction' | 'startTransaction' | 'connection' | 'destroy' | 'isTransaction'
>

/**
 * The database as the stores use it. Every call is one statement. A statement that the server has undone (by a deadlock,
 * a serialization failure, a lost prepared statement, a connection from before a failover) is repeated twice.
 *
 * A call rejects with the problem `database_unavailable` when the database cannot be used now. From then on one
 * call a second tries whether it can be used again, and all other calls are refused at once. A statement that
 * took more than 4 s rejects with `query_timeout`; it has written nothing.
 */
export interface Database {
  run<T>(work: (db: Statements) => Promise<T>): Promise<T>
  /** Like `run`, for a page of a list. A page that took too long would take as long again, so it is not repeated. */
  page<T>(work: (db: Statements) => Promise<T>): Promise<T>
  /** A prepared statement on a hot path, where building the query would cost more than running it. */
  named<Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]): Promise<Row[]>
  /** Connections in the pool, for metrics. */
  pool(): { total: number; idle: number; waiting: number }
  /** Calls the listener when the database answers again after an outage. */
  onRecovery(listener: () => void): void
  close(): Promise<void>
}

export interface DatabaseOptions {
  url: string
  poolMax: number
  log: { warn(object: object, message: string): void }
}

const REPETITIONS = 2
/** Logs at most one line a second about an outage, because every call finds the same outage. */
const LOG_PAUSE_MS = 1_000

/** Opens a pool; no connection is made before the first call. */
export function openDatabase({ url, poolMax, log }: DatabaseOptions): Database {
  const complain = limited(log)
  const sayIdle = limited(log)
  const connections = openConnections({
    url,
    poolMax,
    onIdleError: (error) => sayIdle(error, `an idle connection to the database broke: ${error.message}`),
  })
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: connections.forKysely }) })
  const recovered: Array<() => void> = []
  const pass = createBreaker({
    judge,
    onRecovery() {
      log.warn({}, 'the database can be used again')
      for (const listener of recovered) listener()
    },
  })
  async function call<T>(work: () => Promise<T>, isPage = false): Promise<T> {
    try {
      return await pass(() => repeated(work))
    } catch (error) {
      // The breaker has refused the call.
      if (error instanceof Problem) throw error
      const verdict = judge(error)
      if (verdict === 'answered') throw error
      if (verdict === 'timeout')
        throw problem('query_timeout', { cause: error, ...(isPage ? { retryable: false } : {}) })
      if (error instanceof Error) complain(error, describe(error))
      throw problem('database_unavailable', { cause: error })
    }
  }

  return {
    run: (work) => call(() => work(db)),
    page: (work) => call(() => work(db), true),
    named: (name, text, values) => call(() => connections.execute({ name, text, values })),
    pool: connections.count,
    onRecovery: (listener) => recovered.push(listener),
    close: connections.end,
  }
}

function limited(log: DatabaseOptions['log']): (error: Error, message: string) => void {
  let saidAt = Number.NEGATIVE_INFINITY
  return (error, message) => {
    if (performance.now() < saidAt + LOG_PAUSE_MS) return
    saidAt = performance.now()
    log.warn({ err: error }, message)
  }
}

function describe(error: Error): string {
  if (!(error instanceof NoConnection)) return `the database cannot be used: ${error.message}`
  return error.isDatabaseThere
    ? `no connection to the database was free: ${error.message}`
    : `the database does not accept connections: ${error.message}`
}

async function repeated<T>(work: () => Promise<T>): Promise<T> {
  for (let repetition = 0; ; repetition += 1) {
    try {
      return await work()
    } catch (error) {
      if (repetition === REPETITIONS || !isRepeatable(error)) throw error
    }
  }
}
