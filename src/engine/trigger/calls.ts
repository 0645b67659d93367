import { setTimeout as sleep } from 'node:timers/promises'
import { type Problem, problem } from '../../errors.ts'
import { type CallBudget, type CallPurpose, callBudget } from '../call-budget.ts'
import {
  type CallFailure,
  EngineBusy,
  isRefusal,
  isRetryable,
  RETRY_SECONDS,
  readFailure,
} from '../engine-error.ts'
import { abortable } from './abortable.ts'
import { retryAfterMs } from './retry-after.ts'

export interface EngineLog {
  warn(object: object, message: string): void
  error(object: object, message: string): void
}

export interface CallsOptions {
  /** Engine calls a minute that this instance allows itself; 0: no limit. */
  callsPerMinute: number
  log: EngineLog
  /** Called for every attempt, and for every call that was not made (`busy`). For metrics. */
  onCall?: (call: { kind: string; outcome: string; seconds: number }) => void
}

export interface CallOptions {
  purpose: CallPurpose
  /** Milliseconds for the whole call with its repetitions. */
  deadlineMs?: number
  /** Milliseconds for one attempt, so that a swallowed answer leaves time for another. */
  attemptMs?: number
  /** Milliseconds after which a failure is final. */
  repeatMs?: number
  /** @returns milliseconds before which the call must not be repeated */
  onFailure?: (failure: CallFailure) => number
}

export const CALL_DEADLINE_MS = 5_000
const ATTEMPT_MS = 4_000
const FIRST_PAUSE_MS = 200
/** Time for which a refused connection is tried again. It is enough for a restart of the engine's front. */
const REFUSED_MS = 2_000
const LONGEST_REASON = 500

/** All calls of an instance to the engine, with their deadlines, bounded repetitions, budget, metrics and errors. */
export interface EngineCalls {
  readonly budget: CallBudget
  /**
   * Makes a call, and repeats it while a repetition may help and the deadline allows one. Rejects with `EngineBusy` when
   * the budget does not admit the call in time, else with the last failure of the SDK.
   */
  make<T>(name: string, work: () => Promise<T>, options: CallOptions): Promise<T>
  /**
   * Makes one request without a deadline, and notes whether the engine has answered.
   * @param signal aborts when the caller leaves, which is no evidence about the engine
   * @param name for metrics; a long poll has none
   */
  watch(request: () => Promise<Response>, signal: AbortSignal, name?: string): Promise<Response>
  /** The problem for a failure: `engine_unavailable`, or `engine_refused` where a repeated call fails as well. */
  problemOf(name: string, error: unknown): Problem
  /** When the engine last answered, by `Date.now()`; 0 when the last call failed, or none was made yet. */
  readonly answeredAt: number
}

export function engineCalls({ callsPerMinute, log, onCall }: CallsOptions): EngineCalls {
  const budget = callBudget(callsPerMinute)
  /** By call: the refusal that was logged last, until the call succeeds. */
  const refusals = new Map<string, string>()
  let answeredAt = 0

  function tell(kind: string | undefined, outcome: string, since: number): void {
    if (kind !== undefined) onCall?.({ kind, outcome, seconds: (performance.now() - since) / 1000 })
  }

  function succeeded(name: string | undefined, since: number): void {
    tell(name, 'ok', since)
    answeredAt = Date.now()
    if (name !== undefined) refusals.delete(name)
  }

  function failed(name: string | undefined, since: number, failure: CallFailure): void {
    const { status, deadline } = failure
    tell(name, deadline ? 'timeout' : String(status ?? 'connection'), since)
    if (status === 429) budget.close(waitMs(failure))
    if (status === undefined || status < 400 || status >= 500) answeredAt = 0
  }

  async function admitted(name: string, purpose: CallPurpose, patienceMs: number): Promise<void> {
    const since = performance.now()
    try {
      await budget.take(purpose, { patienceMs })
    } catch (error) {
      tell(name, 'busy', since)
      throw error
    }
  }

  return {
    budget,

    async make(name, work, options) {
      const { purpose, deadlineMs = CALL_DEADLINE_MS, attemptMs = ATTEMPT_MS, onFailure } = options
      const { repeatMs = Number.POSITIVE_INFINITY } = options
      const calledAt = performance.now()
      const leftMs = (ofMs: number) => Math.max(0, Math.ceil(calledAt + ofMs - performance.now()))
      for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
        await admitted(name, purpose, leftMs(deadlineMs))
        const since = performance.now()
        try {
          const limit = AbortSignal.timeout(Math.min(attemptMs, leftMs(deadlineMs)))
          const result = await abortable(limit, work)
          succeeded(name, since)
          return result
        } catch (error) {
          const failure = readFailure(error)
          failed(name, since, failure)
          const notBefore = Math.max(onFailure?.(failure) ?? 0, waitMs(failure))
          const left = leftMs(failure.connectionRefused ? Math.min(repeatMs, REFUSED_MS) : repeatMs)
          const wait = Math.max(notBefore, Math.min(pause, left))
          if (!isRetryable(failure) || left === 0 || wait > leftMs(deadlineMs)) throw error
          await sleep(wait)
        }
      }
    },

    async watch(request, signal, name) {
      const since = performance.now()
      try {
        const response = await request()
        const { status, headers } = response
        if (response.ok) succeeded(name, since)
        else failed(name, since, readFailure({ status, headers: Object.fromEntries(headers) }))
        return response
      } catch (error) {
        if (!signal.aborted) failed(name, since, readFailure(error))
        throw error
      }
    },

    problemOf(name, error) {
      if (error instanceof EngineBusy) return error
      const failure = readFailure(error)
      const retryAfter = Math.max(RETRY_SECONDS, Math.ceil(waitMs(failure) / 1000))
      if (failure.status === 429) return new EngineBusy(retryAfter)
      if (failure.status === undefined || !isRefusal(failure))
        return problem('engine_unavailable', { retryAfter, cause: error })
      const { status } = failure
      const reason = error instanceof Error ? error.message.slice(0, LONGEST_REASON) : ''
      if (refusals.get(name) !== reason)
        log.error({ call: name, status, reason }, 'Trigger.dev refuses a call')
      refusals.set(name, reason)
      return problem('engine_refused', { detail: refusalOf(status), cause: error })
    },

    get answeredAt() {
      return answeredAt
    },
  }
}

/** Milliseconds for which the answer forbids a repetition; 0 when it names none. */
function waitMs({ status, headers }: CallFailure): number {
  return status === 429 || (status === 503 && headers['retry-after']) ? retryAfterMs(headers) : 0
}

/** Who must act on a refusal. */
function refusalOf(status: number): string {
  const refused = `Trigger.dev refused the call with status ${status}`
  if (status === 401 || status === 403) return `${refused}: the operator must correct the secret key.`
  if (status === 404) return `${refused}: the operator must deploy the task and check the address.`
  return `${refused}: the operator must bring the versions of service, worker and Trigger.dev together.`
}
