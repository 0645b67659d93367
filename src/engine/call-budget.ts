import { EngineBusy, RETRY_SECONDS } from './engine-error.ts'

/**
 * The purpose of a call to the engine, which decides about its turn. `act` (starts and cancels) goes before `read`
 * (retrieve, streams). `sweep` gets at most a fifth of the budget, so that the sweeper never starves callers. `end`
 * reads the partial answer of a run that the sweeper has found ended: it is admitted before `sweep` calls, but counts
 * in the sweeper's fifth.
 */
export type CallPurpose = 'act' | 'read' | 'end' | 'sweep'

export interface Patience {
  /** Aborts when the caller leaves; `take` then rejects with the signal's reason. */
  signal?: AbortSignal
  /** Milliseconds after which `take` rejects with `EngineBusy`; for ever when absent. */
  patienceMs?: number
}

export interface CallBudget {
  /** Resolves when the call may be made. Rejects with `EngineBusy` as soon as it cannot be made in time. */
  take(purpose: CallPurpose, patience?: Patience): Promise<void>
  /** Resolves when the budget is not closed. Costs nothing: it is for long polls, which Trigger.dev does not count. */
  opened(signal: AbortSignal): Promise<void>
  /** Stops all calls for so many milliseconds (at most ten minutes), because the engine has asked for it. */
  close(ms: number): void
}

interface Waiter {
  purpose: CallPurpose | 'free'
  /** By `performance.now()`. */
  leavesAt: number
  admit(): void
  refuse(reason: unknown): void
}

const SWEEP_SHARE = 0.2
const ORDER: Waiter['purpose'][] = ['free', 'act', 'read', 'end', 'sweep']
/** Seconds of budget that may be spent at once after a quiet time. */
const BURST_SECONDS = 10
/** The longest time for which an answer of the engine can stop the calls of an instance. */
const LONGEST_CLOSE_MS = 10 * 60_000

/**
 * One token bucket for all engine calls of an instance: Trigger.dev allows 1,500 calls a minute.
 * @param callsPerMinute 0: no limit (the local engine)
 */
export function callBudget(callsPerMinute: number): CallBudget {
  const isLimited = callsPerMinute > 0
  const bucket = isLimited ? tokens(callsPerMinute / 60) : UNLIMITED
  const sweepBucket = isLimited ? tokens((callsPerMinute / 60) * SWEEP_SHARE) : UNLIMITED
  const waiting: Waiter[] = []
  let closedUntil = 0
  let timer: NodeJS.Timeout | undefined

  const affordable = ({ purpose }: Waiter) =>
    purpose === 'free' || (bucket.ready() && (purpose !== 'sweep' || sweepBucket.ready()))

  function spend(purpose: Waiter['purpose']): void {
    if (purpose === 'free') return
    bucket.spend()
    if (purpose === 'sweep' || purpose === 'end') sweepBucket.spend()
  }

  function admitNext(): void {
    const closedMs = closedUntil - performance.now()
    for (const purpose of closedMs > 0 ? [] : ORDER) {
      for (;;) {
        const index = waiting.findIndex((waiter) => waiter.purpose === purpose)
        const waiter = waiting[index]
        if (waiter === undefined || !affordable(waiter)) break
        waiting.splice(index, 1)
        spend(purpose)
        waiter.admit()
      }
    }
    clearTimeout(timer)
    if (waiting.length === 0) return
    timer = setTimeout(admitNext, closedMs > 0 ? Math.ceil(closedMs) : 60_000 / callsPerMinute)
    timer.unref()
  }

  function refuseTheHasty(): void {
    for (const waiter of waiting.filter(({ leavesAt }) => leavesAt < closedUntil)) waiter.refuse(busy())
  }

  const busy = () => {
    const closedMs = closedUntil - performance.now()
    return new EngineBusy(closedMs > 0 ? Math.ceil(closedMs / 1000) : RETRY_SECONDS)
  }

  function wait(purpose: Waiter['purpose'], { signal, patienceMs = Number.POSITIVE_INFINITY }: Patience) {
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const end = () => {
        clearTimeout(patience)
        signal?.removeEventListener('abort', leave)
      }
      const waiter: Waiter = {
        purpose,
        leavesAt: performance.now() + patienceMs,
        admit: () => {
          end()
          resolve()
        },
        refuse: (reason) => {
          end()
          waiting.splice(waiting.indexOf(waiter), 1)
          reject(reason)
        },
      }
      const leave = () => waiter.refuse(signal?.reason)
      const patience = Number.isFinite(patienceMs)
        ? setTimeout(() => waiter.refuse(busy()), Math.max(0, patienceMs)).unref()
        : undefined
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(waiter)
      admitNext()
      refuseTheHasty()
    })
  }

  return {
    take: (purpose, patience = {}) => wait(purpose, patience),
    opened: (signal) => wait('free', { signal }),
    close(ms) {
      const until = performance.now() + Math.min(ms, LONGEST_CLOSE_MS)
      if (until <= closedUntil) return
      closedUntil = until
      // The bucket begins empty afterwards, so that no burst meets an engine which has just been too busy.
      bucket.empty(until)
      refuseTheHasty()
      admitNext()
    },
  }
}

const UNLIMITED = { ready: () => true, spend() {}, empty(_until: number) {} }

function tokens(perSecond: number): typeof UNLIMITED {
  const capacity = Math.max(1, perSecond * BURST_SECONDS)
  let level = capacity
  let at = performance.now()
  const refill = () => {
    const now = Math.max(at, performance.now())
    level = Math.min(capacity, level + ((now - at) / 1000) * perSecond)
    at = now
  }
  return {
    ready() {
      refill()
      return level >= 1
    },
    spend() {
      level -= 1
    },
    empty(until) {
      level = 0
      at = until
    },
  }
}
