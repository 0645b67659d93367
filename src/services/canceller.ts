import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceContext } from './context.ts'
import type { Finalizer } from './finalizer.ts'

export interface Canceller {
  /** Stops the run and ends its turn, partial answer kept; waits for that at most 3 s. Rejects when the engine is away. */
  end(turnId: string, runId: string): Promise<void>
}

const WAIT_MS = 3_000
const LOOK_MS = 100

/** The wish to cancel is stored before this is called: what does not happen here, the sweeper does. */
export function canceller({ engine, log }: ServiceContext, finalizer: Finalizer): Canceller {
  async function settled(turnId: string, runId: string, until: number): Promise<void> {
    // The first look may be one that somebody else had begun before the cancel.
    while (!(await finalizer.settle(turnId, runId)) && performance.now() < until) await sleep(LOOK_MS)
  }

  return {
    async end(turnId, runId) {
      const until = performance.now() + WAIT_MS
      await engine.cancel(runId)
      const settling = settled(turnId, runId, until).catch((error: unknown) => {
        log.warn({ err: error, turnId, runId }, 'the sweeper will end the cancelled turn')
      })
      const done = new AbortController()
      const late = sleep(Math.max(0, until - performance.now()), undefined, { signal: done.signal })
      await Promise.race([settling, late.catch(() => {})])
      done.abort()
    },
  }
}
