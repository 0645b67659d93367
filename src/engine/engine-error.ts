import { codeOf } from '../error-code.ts'
import { Problem, type ProblemDetails } from '../errors.ts'

/** Seconds until a caller may try again, where the engine has named no time. */
export const RETRY_SECONDS = 2

/**
 * Why a run could not be started. `refused`: certainly no run exists, so the rows of the turn can be removed. `unknown`:
 * no answer came, so a run may exist.
 */
export class DispatchError extends Problem {
  readonly outcome: 'refused' | 'unknown'
  constructor(
    code: 'engine_unavailable' | 'engine_refused' | 'engine_payload_too_large',
    outcome: 'refused' | 'unknown',
    details: ProblemDetails = {},
  ) {
    super(code, code === 'engine_unavailable' ? { retryAfter: RETRY_SECONDS, ...details } : details)
    this.name = 'DispatchError'
    this.outcome = outcome
  }
}

/**
 * The instance may make no further call for now: its own budget is spent, or the engine has named a time to wait (429).
 * The engine was not asked, so this is no evidence that the engine is away.
 */
export class EngineBusy extends Problem {
  constructor(retryAfter = RETRY_SECONDS) {
    super('engine_unavailable', {
      detail: 'This service may make no further call to Trigger.dev for now.',
      retryAfter,
    })
    this.name = 'EngineBusy'
  }
}

/** Whether an error of any call, a `DispatchError` included, stands for a call that was never made. */
export const isEngineBusy = (error: unknown): boolean =>
  causesOf(error).some((cause) => cause instanceof EngineBusy)

/** Whether a call got no useful answer: the engine is away, stays silent, or refuses this service. */
export function isEngineAway(error: unknown): boolean {
  const isOfEngine =
    error instanceof Problem && (error.code === 'engine_unavailable' || error.code === 'engine_refused')
  return isOfEngine && !isEngineBusy(error)
}

/** Whether the engine has answered that there is no such stream. */
export function isGone(error: unknown): boolean {
  return causesOf(error).some((cause) => GONE.has(readFailure(cause).status ?? 0))
}

/** What an error of the SDK says about a call. */
export interface CallFailure {
  /** Undefined: the connection broke or was refused, or the deadline has passed. 200: an unreadable answer. */
  status: number | undefined
  headers: Record<string, string | null | undefined>
  /** The connection was refused, so the request certainly did not arrive. */
  connectionRefused: boolean
  /** The deadline of the attempt has passed. */
  deadline: boolean
}

/** Reads an error of the SDK by its fields, because `instanceof` fails where several copies of core are loaded. */
export function readFailure(error: unknown): CallFailure {
  const fields = (typeof error === 'object' && error !== null ? error : {}) as {
    status?: unknown
    headers?: unknown
    name?: unknown
  }
  return {
    status: typeof fields.status === 'number' ? fields.status : undefined,
    headers: (fields.headers ?? {}) as CallFailure['headers'],
    connectionRefused: causesOf(error).some((cause) => REFUSED.has(codeOf(cause))),
    deadline: fields.name === 'TimeoutError',
  }
}

/** Whether a repeated call may succeed: the server has said so, or the connection broke. */
export function isRetryable({ status }: CallFailure): boolean {
  return status === undefined || PASSING.has(status) || status >= 500
}

/** Whether the engine has refused the call for good: the same call fails until the operator acts. */
export function isRefusal({ status }: CallFailure): boolean {
  return status !== undefined && status >= 400 && status < 500 && !PASSING.has(status)
}

/** Whether the engine has certainly done nothing: it has refused the call, or has never received it. */
export function isUndone(failure: CallFailure): boolean {
  return failure.connectionRefused || failure.status === 429 || isRefusal(failure)
}

const GONE = new Set([400, 404, 410])
/** Statuses below 500 that may pass: timeout, lock, limit. */
const PASSING = new Set([408, 409, 429])
const REFUSED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

/** The error and what caused it, outermost first. */
function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [error]
  for (let at = error; at instanceof Error && chain.length < 8; at = at.cause) {
    if (at instanceof AggregateError) chain.push(...at.errors)
    if (at.cause !== undefined) chain.push(at.cause)
  }
  return chain
}
