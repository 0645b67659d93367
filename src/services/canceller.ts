import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceContext } from './context.ts'
import type { Finalizer } from './finalizer.ts'

export interface Canceller {
  /** Stops the run and ends its turn, partial answer kept; waits for that at most 3 s. Rejects when the engine is away. */
  end(turnId: string, runId: string): Promise<void>
}

const WAIT_MS = 3_000

/** The wish to cancel is stored before this is called: what does not happen here, the sweeper does. */
export function canceller({ engine, log }: ServiceContext, finalizer: Finalizer): Canceller {
  return {
    async end(turnId, runId) {
      await engine.cancel(runId)
      const settled = finalizer.settle(turnId, runId).catch((error: unknown) => {
        log.warn({ err: error, turnId, runId }, 'the sweeper will end the cancelled turn')
      })
      const done = new AbortController()
      await Promise.race([settled, sleep(WAIT_MS, undefined, { signal: done.signal }).catch(() => {})])
      done.abort()
    },
  }
}
