import {
  isOOMRunError,
  shouldLookupRetrySettings,
  shouldRetryError,
  taskRunErrorEnhancer,
} from '@trigger.dev/core/v3/errors'
import type { RetryOptions, TaskRunError, TaskRunExecutionRetry } from '@trigger.dev/core/v3/schemas'
import { calculateNextRetryDelay } from '@trigger.dev/core/v3/utils/retries'
import type { Run } from './run.ts'

export interface NextTry {
  delayMs: number
  /** Else the run is queued anew after the delay, and another one may go before it. */
  keepsSlot: boolean
}

/** A retry that waits longer gives its slot up. */
const KEEP_SLOT_MS = 30_000

/**
 * Whether a failed run is tried again, by core's own rules and as the real dispatcher applies them: `asked` is what
 * the executor decided; a process that ended could not ask, so the task's settings are looked up for it.
 */
export function nextTry(
  run: Run,
  error: TaskRunError,
  asked: TaskRunExecutionRetry | undefined,
  settings: RetryOptions | undefined,
): NextTry | undefined {
  // A run that has exceeded its memory would need a larger machine.
  if (isOOMRunError(error)) return undefined
  const enhanced = taskRunErrorEnhancer(error)
  if (!shouldRetryError(enhanced) || run.attempt >= run.maxAttempts) return undefined
  if (asked) return { delayMs: asked.delay, keepsSlot: asked.delay < KEEP_SLOT_MS }
  if (!settings || !shouldLookupRetrySettings(enhanced)) return undefined
  const delayMs = calculateNextRetryDelay(settings, run.attempt)
  return delayMs === undefined ? undefined : { delayMs, keepsSlot: false }
}
