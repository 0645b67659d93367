import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceContext } from '../context.ts'
import type { Finalizer } from './finalizer.ts'

export interface Canceller {
  /**
   * Stops the run and stores its end, partial answer kept; waits for that at most 3 s, also when the engine does not answer.
   * Rejects when the engine turns out to be away within that time.
   */
  end(turnId: string, runId: string): Promise<void>
}

const WAIT_MS = 3_000
const PAUSE_MS = 100

/** The wish to cancel is stored before this is called: what does not happen here, the sweeper does. */
export function canceller({ engine, log }: ServiceContext, finalizer: Finalizer): Canceller {
  const leave = (turnId: string, runId: string) => (error: unknown) =>
    log.warn({ err: error, turnId, runId }, 'the cancelled run has not ended yet; the sweeper ends it')

  async function settled(runId: string, until: number): Promise<void> {
    // The first call may return one that was begun before the cancel.
    while (!(await finalizer.settle(runId)) && performance.now() < until) await sleep(PAUSE_MS)
  }

  async function cancel(turnId: string, runId: string): Promise<void> {
    const until = performance.now() + WAIT_MS
    await engine.cancel(runId)
    await settled(runId, until).catch(leave(turnId, runId))
  }

  return {
    async end(turnId, runId) {
      const cancelling = cancel(turnId, runId)
      const clock = new AbortController()
      const late = sleep(WAIT_MS, true, { signal: clock.signal }).catch(() => false)
      try {
        if (await Promise.race([cancelling, late])) cancelling.catch(leave(turnId, runId))
      } finally {
        clock.abort()
      }
    },
  }
}
