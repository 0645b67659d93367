import { setTimeout as sleep } from 'node:timers/promises'
import type { Finalizer } from './finalizer.ts'

const PATIENCE_MS = 2_000
const PAUSE_MS = 250

/**
 * Makes a function that waits a short time for the end of a run that has probably ended at the engine already.
 * @returns false when the run goes on after two seconds, or when the engine does not answer
 */
export const endsSoon =
  ({ settle }: Pick<Finalizer, 'settle'>) =>
  async (runId: string): Promise<boolean> => {
    for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await sleep(PAUSE_MS)) {
      const isOver = await settle(runId).catch(() => undefined)
      if (isOver !== false) return isOver ?? false
    }
    return false
  }
