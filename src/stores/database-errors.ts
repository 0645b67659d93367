import { codeOf } from '../error-code.ts'
import { Problem } from '../errors.ts'

/** The pool had no connection for a call, so no statement was sent. The cause is the error of the driver or server. */
export class NoConnection extends Error {
  override name = 'NoConnection'
  /** Whether the database works all the same: all connections were in use, or other connections of the pool work. */
  readonly isDatabaseThere: boolean

  constructor(cause: unknown, othersWork: boolean) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.isDatabaseThere = othersWork || this.message === POOL_BUSY
  }
}

/** The message of pg-pool when a call has waited too long in the pool's own queue. */
const POOL_BUSY = 'timeout exceeded when trying to connect'

/**
 * What an error of a call says about the database:
 * - `away`: no call can succeed now;
 * - `unusable`: this call cannot succeed now; other calls may;
 * - `timeout`: the server has cut the statement off and has undone it;
 * - `answered`: the database works, the error is the statement's own.
 */
export type Verdict = 'away' | 'unusable' | 'timeout' | 'answered'

/** query_canceled, lock_not_available, transaction_timeout. */
const TIMEOUTS = new Set(['57014', '55P03', '25P04'])

/** read_only_sql_transaction. */
const READ_ONLY = '25006'

/** Connection exception, insufficient resources, operator intervention, system error; see the Postgres manual, appendix A. */
const AWAY_CLASSES = new Set(['08', '53', '57', '58'])
/** Read-only after a failover; a session that was ended because it was idle; refused logins. */
const AWAY_CODES = new Set([READ_ONLY, '25P03', '28000', '28P01', '3D000'])

/**
 * The statements of this service are fixed and tested: when tables, functions or rights are missing, the database
 * is not (or not yet) the one that was migrated, for example while a dump is being restored.
 */
const FOREIGN_DATABASE = new Set(['42P01', '42883', '42703', '42501', '3F000'])

/** Deadlock, serialization failure: the server has undone the statement. */
const CONFLICTS = new Set(['40P01', '40001'])
/** The server's session does not have the prepared statement that the driver remembers, or has another of that name. */
const LOST_STATEMENTS = new Set(['26000', '42P05'])
/** "cached plan must not change result type": a migration changed a table under a prepared statement. */
const STALE_PLAN = '0A000'

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
const CLIENT_MESSAGES = /Connection terminated|Query read timeout|not queryable/

export function judge(error: unknown): Verdict {
  if (error instanceof NoConnection) return error.isDatabaseThere ? 'unusable' : 'away'
  const code = codeOf(error)
  if (TIMEOUTS.has(code)) return 'timeout'
  if (AWAY_CODES.has(code) || (isSqlState(code) && AWAY_CLASSES.has(code.slice(0, 2)))) return 'away'
  if (NETWORK_CODES.has(code) || (error instanceof Error && CLIENT_MESSAGES.test(error.message)))
    return 'away'
  // This statement was repeated without success.
  if (FOREIGN_DATABASE.has(code) || isRepeatable(error) || isInternal(code)) return 'unusable'
  return 'answered'
}

/** Whether the server has certainly undone the statement, and a repetition may succeed at once. */
export function isRepeatable(error: unknown): boolean {
  const code = codeOf(error)
  return CONFLICTS.has(code) || LOST_STATEMENTS.has(code) || code === STALE_PLAN || code === READ_ONLY
}

/** Whether the server, or a pooler that looks like one, does not keep prepared statements. */
export function hasLostStatements(error: unknown): boolean {
  return LOST_STATEMENTS.has(codeOf(error))
}

/** Whether the connection must not be used again. */
export function breaksConnection(error: unknown): boolean {
  const code = codeOf(error)
  return (
    judge(error) === 'away' ||
    hasLostStatements(error) ||
    code === STALE_PLAN ||
    code === '25P04' ||
    isInternal(code)
  )
}

/** Whether a rejected call says that the database cannot be used now. */
export function isAway(error: unknown): boolean {
  if (error instanceof Problem) return error.code === 'database_unavailable'
  return ['away', 'unusable'].includes(judge(error))
}

/** Whether a call that was rejected because of an outage has certainly written nothing. */
export function neverSent(error: unknown): boolean {
  const cause = error instanceof Problem ? error.details.cause : error
  return cause === undefined || cause instanceof NoConnection || codeOf(cause) === READ_ONLY
}

/** Whether the database refused the content of a statement (SQLSTATE classes 22, 23 and 54). */
export function isContentError(error: unknown): boolean {
  return /^(22|23|54)/.test(codeOf(error))
}

/** Class XX: faults within the server, and what some poolers say when they cannot reach it. */
function isInternal(code: string): boolean {
  return isSqlState(code) && code.startsWith('XX')
}

function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code)
}
