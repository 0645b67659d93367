import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceContext } from '../context.ts'
import type { Finalizer } from './finalizer.ts'

export interface Canceller {
  /**
   * Stops the run at the engine and stores its end with its partial answer. Resolves after 3 s at the latest, also when
   * the run has not ended by then. Rejects when a call to the engine fails within that time.
   */
  end(turnId: string, runId: string): Promise<void>
}

const WAIT_MS = 3_000
const PAUSE_MS = 100

/** The caller's wish to cancel is stored before `end` is called, so the sweeper cancels a run that `end` could not. */
export function canceller({ engine, log }: ServiceContext, finalizer: Finalizer): Canceller {
  const leave = (turnId: string, runId: string) => (error: unknown) =>
    log.warn({ err: error, turnId, runId }, 'the cancelled run has not ended yet; the sweeper ends it')

  async function settled(runId: string, until: number): Promise<void> {
    // The first call may share a settling that began before the cancel. Its result may then be that the run goes on.
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
