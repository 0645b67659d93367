import type { FinishReason as ModelFinishReason, TextStreamPart, ToolSet } from 'ai'
import { classify } from './classify.ts'
import type { FailureCode } from './failure.ts'
import { tellReason, WORDLESS } from './finish-reason.ts'
import { readProvider } from './provider-report.ts'
import type { FinishReason } from './turn.ts'

export type VerdictResult =
  | { status: 'completed'; finishReason: FinishReason; modelReason: ModelFinishReason }
  | { status: 'cancelled' }
  | Failed

export interface Failed {
  status: 'failed'
  errorCode: FailureCode
  /** Whole seconds after which the provider allows another call, where it said so. */
  retryAfter?: number
  /** What was thrown, for the operator's log alone. */
  cause?: unknown
}

export type Verdict = ReturnType<typeof createVerdict>

/**
 * Judges how a turn ended by what its stream shows. `length`, `content-filter` and `tool-calls` (the loop was cut)
 * are completed turns. Timeouts reach the stream as aborts: an abort that the turn's own signal did not ask for is
 * a timeout.
 */
export function createVerdict(signal: AbortSignal) {
  let finish: { reason: ModelFinishReason; raw: string | undefined } | undefined
  let problem: { errorCode: FailureCode; cause?: unknown } | undefined
  let hasText = false

  const failed = (error: unknown) => {
    problem ??= { errorCode: classify(error), cause: error }
  }
  /** Why there is no whole answer, although the AI SDK calls such a stream completed. */
  const broken = (looped: boolean): FailureCode | undefined => {
    if (finish === undefined || finish.reason === 'interrupted') return 'model_interrupted'
    if (finish.reason === 'error') return 'provider_error'
    // Without a reason of the provider's own, the SDK made this one up for a stream that just ended.
    if (finish.reason === 'other' && finish.raw === undefined) return 'model_interrupted'
    return hasText || WORDLESS[tellReason(finish.reason, looped)] ? undefined : 'model_silent'
  }

  return {
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'text-delta') hasText ||= part.text.trim() !== ''
      if (part.type === 'finish') finish = { reason: part.finishReason, raw: part.rawFinishReason }
      if (part.type === 'error') failed(part.error)
      if (part.type === 'abort') problem ??= { errorCode: 'model_timeout' }
    },
    failed,
    /** Whether the answer has a word. */
    get hasText(): boolean {
      return hasText
    },
    reach({ looped }: { looped: boolean }): VerdictResult {
      const errorCode = problem?.errorCode ?? broken(looped)
      if (errorCode !== undefined) {
        if (signal.aborted) return { status: 'cancelled' }
        const { retryAfter } = readProvider(problem?.cause) ?? {}
        const cause = problem && 'cause' in problem ? { cause: problem.cause } : {}
        return { status: 'failed', errorCode, ...(retryAfter === undefined ? {} : { retryAfter }), ...cause }
      }
      const modelReason = finish?.reason ?? 'stop'
      return { status: 'completed', finishReason: tellReason(modelReason, looped), modelReason }
    },
  }
}
