/**
 * Who asks the engine: `act` (starts and cancels) goes before `look` (retrieve, streams), and the `sweep` gets
 * at most a fifth of the budget, so that certainty never starves callers. `settle` reads what a run that the
 * sweep has found ended had said: at once, but the sweep's next questions wait for it.
 */
export type CallKind = 'act' | 'look' | 'settle' | 'sweep'

export interface CallBudget {
  /** Resolves when the call may be made; rejects when `signal` aborts first. */
  take(kind: CallKind, signal: AbortSignal): Promise<void>
}

interface Waiter {
  kind: CallKind
  admit: () => void
}

const SWEEP_SHARE = 0.2
const ORDER: CallKind[] = ['act', 'look', 'settle', 'sweep']
/** Seconds of budget that may be spent at once after a quiet time. */
const BURST_SECONDS = 10

/**
 * One token bucket for all engine calls of an instance: Trigger.dev allows 1,500 calls a minute.
 * @param callsPerMinute 0: no limit (the local engine)
 */
export function callBudget(callsPerMinute: number): CallBudget {
  if (callsPerMinute === 0) return { take: async () => {} }
  const bucket = tokens(callsPerMinute / 60)
  const sweepBucket = tokens((callsPerMinute / 60) * SWEEP_SHARE)
  const waiting: Waiter[] = []
  let timer: NodeJS.Timeout | undefined

  const affordable = ({ kind }: Waiter) => bucket.ready() && (kind !== 'sweep' || sweepBucket.ready())

  function admitNext(): void {
    for (const kind of ORDER) {
      for (;;) {
        const index = waiting.findIndex((waiter) => waiter.kind === kind)
        const waiter = waiting[index]
        if (waiter === undefined || !affordable(waiter)) break
        waiting.splice(index, 1)
        bucket.spend()
        if (kind === 'sweep' || kind === 'settle') sweepBucket.spend()
        waiter.admit()
      }
    }
    clearTimeout(timer)
    timer = waiting.length > 0 ? setTimeout(admitNext, 60_000 / callsPerMinute) : undefined
    timer?.unref()
  }

  return {
    take(kind, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const waiter: Waiter = {
          kind,
          admit: () => {
            signal.removeEventListener('abort', leave)
            resolve()
          },
        }
        const leave = () => {
          waiting.splice(waiting.indexOf(waiter), 1)
          reject(signal.reason)
        }
        signal.addEventListener('abort', leave, { once: true })
        waiting.push(waiter)
        admitNext()
      })
    },
  }
}

function tokens(perSecond: number) {
  const capacity = Math.max(1, perSecond * BURST_SECONDS)
  let level = capacity
  let at = performance.now()
  const refill = () => {
    const now = performance.now()
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
  }
}
