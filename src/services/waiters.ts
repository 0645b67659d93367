import type { RunState, RunStore } from '../stores/runs.ts'

export interface Waiters {
  /**
   * Resolves when the run's version differs from `version`, after `milliseconds`, or when `signal` aborts.
   * Never rejects: whoever waits reads the run afterwards in any case.
   */
  changed(runId: string, version: string, milliseconds: number, signal: AbortSignal): Promise<void>
  /** Something is known to have happened to the run: look at once. */
  nudge(runId: string): void
  /** Lets all waiters go, for the drain. */
  release(): void
  /** Whether `release` was called: nobody waits any more. */
  released(): boolean
  /** How many wait, for metrics and tests. */
  count(): number
}

interface Waiter {
  runId: string
  version: string
  done: () => void
}

const LOOK_MS = 250

/** All who wait on this instance share one query per 250 ms, which is made only while somebody waits. */
export function waiters(runs: RunStore): Waiters {
  const waiting = new Set<Waiter>()
  let timer: NodeJS.Timeout | undefined
  let released = false

  async function look(): Promise<void> {
    const ids = [...new Set([...waiting].map((waiter) => waiter.runId))]
    if (ids.length === 0) return
    const states = await runs.states(ids).catch(() => [])
    const current = new Map(states.map((run) => [run.runId, versionOf(run)]))
    for (const waiter of waiting) {
      const version = current.get(waiter.runId)
      if (version !== undefined && version !== waiter.version) waiter.done()
    }
  }

  function schedule(delay = LOOK_MS): void {
    if (timer !== undefined || waiting.size === 0) return
    timer = setTimeout(async () => {
      await look()
      timer = undefined
      schedule()
    }, delay)
  }

  return {
    changed(runId, version, milliseconds, signal) {
      if (released || signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const waiter: Waiter = {
          runId,
          version,
          done: () => {
            waiting.delete(waiter)
            clearTimeout(limit)
            signal.removeEventListener('abort', waiter.done)
            resolve()
          },
        }
        const limit = setTimeout(waiter.done, milliseconds)
        signal.addEventListener('abort', waiter.done, { once: true })
        waiting.add(waiter)
        schedule()
      })
    },
    nudge(runId) {
      for (const waiter of waiting) if (waiter.runId === runId) waiter.done()
    },
    release() {
      released = true
      for (const waiter of waiting) waiter.done()
    },
    released: () => released,
    count: () => waiting.size,
  }
}

/** What a waiter compares: it changes with everything that a caller may wait for. */
export function versionOf({ status, cancelRequestedAt, ahead }: RunState): string {
  return JSON.stringify([status, cancelRequestedAt !== null, ahead])
}
