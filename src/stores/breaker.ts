import { problem } from '../errors.ts'
import type { Verdict } from './database-errors.ts'

/** After a call that found the database away, calls are refused for so long. Then one call is let through as a trial. */
const PAUSE_MS = 1_000

export interface BreakerOptions {
  judge(error: unknown): Verdict
  /** Called when the database answers again. */
  onRecovery(): void
}

/**
 * Lets calls pass while the database answers. After a call that finds the database away, one call a second is let through
 * as a trial, and all other calls are refused at once with `database_unavailable`.
 */
export function createBreaker({ judge, onRecovery }: BreakerOptions) {
  let isOpen = false
  let isTrying = false
  let triedAt = 0

  function close(): void {
    if (!isOpen) return
    isOpen = false
    onRecovery()
  }

  return async function pass<T>(work: () => Promise<T>): Promise<T> {
    const isTrial = isOpen
    if (isTrial) {
      if (isTrying || performance.now() < triedAt + PAUSE_MS) throw problem('database_unavailable')
      isTrying = true
    }
    try {
      const result = await work()
      close()
      return result
    } catch (error) {
      const verdict = judge(error)
      if (verdict === 'away') {
        isOpen = true
        triedAt = performance.now()
      } else if (verdict !== 'unusable') close()
      throw error
    } finally {
      if (isTrial) isTrying = false
    }
  }
}
