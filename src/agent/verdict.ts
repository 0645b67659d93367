import type { FinishReason as ModelFinishReason, TextStreamPart, ToolSet } from 'ai'
import { classify } from './classify.ts'
import type { FailureCode } from './failure.ts'
import { type Cut, type Stop, tellReason, WORDLESS } from './finish-reason.ts'
import { readProvider } from './provider-report.ts'
import type { FinishReason } from './turn.ts'

export type VerdictResult =
  | { status: 'completed'; finishReason: FinishReason; modelReason: ModelFinishReason }
  | { status: 'cancelled' }
  | Failed

export interface Failed {
  status: 'failed'
  errorCode: FailureCode
  /** Whole seconds after which the provider allows another call; absent when the provider named no time. */
  retryAfter?: number
  /** The error that was thrown, for the operator's log alone. */
  cause?: unknown
}

/** The turn goes on in another run, so its answer so far may have no text. */
const NEEDS_NO_WORDS = new Set<FinishReason>(['action_required', 'steered'])

export type Verdict = ReturnType<typeof createVerdict>

/**
 * Judges from the stream how a turn ended. Turns with the reasons `length`, `content-filter` and `tool-calls` (the
 * agent stopped the loop) are completed. Timeouts reach the stream as aborts: an abort without an abort of the turn's
 * own signal is a timeout. An answer that a limit has cut is completed, also when its stream then ends with an error.
 */
export function createVerdict(signal: AbortSignal) {
  let finish: { reason: ModelFinishReason; raw: string | undefined } | undefined
  let problem: { errorCode: FailureCode; cause?: unknown } | undefined
  let cut: Cut | undefined
  let hasText = false

  const failed = (error: unknown) => {
    problem ??= { errorCode: classify(error), cause: error }
  }
  /** Why the answer is not whole, although the AI SDK reports that the stream is complete. */
  const broken = (stop: Stop | undefined): FailureCode | undefined => {
    if (finish === undefined || finish.reason === 'interrupted') return 'model_interrupted'
    if (finish.reason === 'error') return 'provider_error'
    // The provider sent no reason: the AI SDK reports `other` for a stream that ended without one.
    if (finish.reason === 'other' && finish.raw === undefined) return 'model_interrupted'
    const told = tellReason(finish.reason, stop)
    return hasText || NEEDS_NO_WORDS.has(told) || WORDLESS[told] ? undefined : 'model_silent'
  }

  return {
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'text-delta') hasText ||= part.text.trim() !== ''
      if (part.type === 'finish') finish = { reason: part.finishReason, raw: part.rawFinishReason }
      if (part.type === 'error') failed(part.error)
      if (part.type === 'abort') problem ??= { errorCode: 'model_timeout' }
    },
    failed,
    /** Notes that the answer has words from before this run. */
    hasSpoken(): void {
      hasText = true
    },
    /** Ends a whole answer as failed. */
    refuse(errorCode: FailureCode, cause: unknown): void {
      problem = { errorCode, cause }
    },
    /** Notes that a limit cuts the answer. @returns false when the answer has ended, or was cut, before */
    cut(reason: Cut): boolean {
      if (signal.aborted || cut !== undefined || problem !== undefined || finish !== undefined) return false
      cut = reason
      return true
    },
    get isCut(): boolean {
      return cut !== undefined
    },
    /** Whether the provider has refused the prompt as too long. */
    get isOverflow(): boolean {
      return problem?.errorCode === 'context_overflow' && !signal.aborted && cut === undefined
    },
    again(): void {
      finish = undefined
      problem = undefined
    },
    /** Whether the answer has a word. */
    get hasText(): boolean {
      return hasText
    },
    reach(stop: Stop | undefined): VerdictResult {
      if (cut !== undefined) return { status: 'completed', finishReason: cut, modelReason: 'other' }
      const errorCode = problem?.errorCode ?? broken(stop)
      if (errorCode !== undefined) {
        if (signal.aborted) return { status: 'cancelled' }
        const { retryAfter } = readProvider(problem?.cause) ?? {}
        const cause = problem && 'cause' in problem ? { cause: problem.cause } : {}
        return { status: 'failed', errorCode, ...(retryAfter === undefined ? {} : { retryAfter }), ...cause }
      }
      const modelReason = finish?.reason ?? 'stop'
      return { status: 'completed', finishReason: tellReason(modelReason, stop), modelReason }
    },
  }
}
