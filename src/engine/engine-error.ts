import { Problem, type ProblemDetails } from '../errors.ts'

/**
 * Why a run could not be started. `refused`: no run exists for certain, the turn's rows can go. `unknown`: the
 * answer never came, a run may exist.
 */
export class DispatchError extends Problem {
  readonly outcome: 'refused' | 'unknown'
  constructor(
    code: 'engine_unavailable' | 'engine_payload_too_large',
    outcome: 'refused' | 'unknown',
    details: ProblemDetails = {},
  ) {
    super(code, code === 'engine_unavailable' ? { retryAfter: 2, ...details } : details)
    this.name = 'DispatchError'
    this.outcome = outcome
  }
}

/** Whether a call waited in this instance's own budget until its time was over: that says nothing about the engine. */
export const isEngineBusy = (error: unknown): boolean =>
  error instanceof Problem && error.name === 'EngineBusy'

/** What the SDK's errors tell; `status` undefined is a broken or refused connection. */
export interface CallFailure {
  status: number | undefined
  headers: Record<string, string | null | undefined>
  /** Nothing was listening: the request certainly did not arrive. */
  connectionRefused: boolean
  deadline: boolean
}

/** Reads an SDK error by its fields: several copies of core would defeat `instanceof`. */
export function readFailure(error: unknown): CallFailure {
  const fields = (typeof error === 'object' && error !== null ? error : {}) as {
    status?: unknown
    headers?: unknown
    name?: unknown
  }
  return {
    status: typeof fields.status === 'number' ? fields.status : undefined,
    headers: (fields.headers ?? {}) as CallFailure['headers'],
    connectionRefused: causes(error).some((cause) => REFUSED.has(codeOf(cause))),
    deadline: fields.name === 'TimeoutError',
  }
}

/** Worth another attempt: the server said so, or the connection broke. 404 says `x-should-retry` for lag. */
export function isRetryable({ status }: CallFailure): boolean {
  return status === undefined || status === 408 || status === 409 || status === 429 || status >= 500
}

/** The engine has answered that there is no such stream. */
export function isGone(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { status?: unknown } | undefined) : undefined
  return [error, cause].some((one) =>
    [400, 404, 410].includes(Number((one as { status?: unknown } | undefined)?.status)),
  )
}

const REFUSED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
}

function causes(error: unknown): unknown[] {
  const chain: unknown[] = []
  for (let at = error; at instanceof Error && chain.length < 8; at = at.cause) {
    chain.push(at)
    if (at instanceof AggregateError) chain.push(...at.errors)
  }
  return chain
}
