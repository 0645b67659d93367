import type { FinishReason, TextStreamPart, ToolSet } from 'ai'
import { classify, type FailureCode } from './failure.ts'

export type VerdictResult =
  | { status: 'completed'; finishReason: FinishReason }
  | { status: 'cancelled' }
  | { status: 'failed'; errorCode: FailureCode }

export type Verdict = ReturnType<typeof createVerdict>

/** Finish reasons that mean that there is no whole answer, although the AI SDK calls such a stream completed. */
const BROKEN: Partial<Record<FinishReason, FailureCode>> = {
  error: 'provider_error',
  interrupted: 'model_interrupted',
  other: 'model_interrupted',
}

/**
 * Judges how a turn ended by what its stream shows. `length`, `content-filter` and `tool-calls` (the cap on steps)
 * are completed turns with that finish reason. Timeouts reach the stream as aborts: what was not asked for by the
 * turn's own signal is one.
 */
export function createVerdict(signal: AbortSignal) {
  let finishReason: FinishReason | undefined
  let errorCode: FailureCode | undefined

  return {
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'finish') finishReason = part.finishReason
      if (part.type === 'error') errorCode ??= classify(part.error)
      if (part.type === 'abort') errorCode ??= 'model_timeout'
    },
    failed(error: unknown): void {
      errorCode ??= classify(error)
    },
    reach(): VerdictResult {
      const broken = errorCode ?? (finishReason ? BROKEN[finishReason] : 'model_interrupted')
      if (broken) return signal.aborted ? { status: 'cancelled' } : { status: 'failed', errorCode: broken }
      return { status: 'completed', finishReason: finishReason ?? 'stop' }
    },
  }
}
