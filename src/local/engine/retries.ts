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
  /** Whether the run keeps its slot. Else it is queued again after the delay, and another run may go before it. */
  keepsSlot: boolean
}

/** The longest delay for which a retried run keeps its slot. */
const KEEP_SLOT_MS = 30_000

/**
 * Whether a failed run is tried again, by core's own rules and as the real dispatcher applies them. `asked` is the
 * decision of the executor. A process that has ended could not decide, so the task's settings decide.
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
