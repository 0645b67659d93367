import type { AgentOutput, TurnMessage } from '../../agent/turn.ts'
import type { RunSnapshot } from '../../engine/run-engine.ts'
import { runFailure } from '../../run-failures.ts'
import type { RunEnd } from '../../stores/run-ends.ts'
import { type ClosingReason, storable, textOf } from './answer.ts'
import { extendedAnswer } from './extended-answer.ts'
import type { PartialAnswer } from './partial-answer.ts'
import { partialUsage } from './partial-usage.ts'
import { completedFacts, partialFacts } from './run-facts.ts'

/** The end of a run that did not complete. */
export type BrokenEnd = Pick<RunEnd, 'status' | 'errorCode' | 'error'>

export const CANCELLED: BrokenEnd = { status: 'cancelled', errorCode: null, error: null }

export function failure(code: string): BrokenEnd {
  const { errorCode, message } = runFailure(code)
  return { status: 'failed', errorCode, error: message }
}

export function closingReason({ status, errorCode }: BrokenEnd): ClosingReason {
  if (status === 'cancelled') return 'cancelled'
  return errorCode === 'worker_lost' || errorCode === 'crashed' ? 'lost' : 'failed'
}

/** The partial answer. For the run of a continuation it begins with the parts of the earlier runs of its chain. */
export function extended(
  partial: PartialAnswer,
  { startedAt }: Pick<RunSnapshot, 'startedAt'>,
  before: TurnMessage | undefined,
): PartialAnswer {
  if (before === undefined) return partial
  return {
    ...partial,
    message: extendedAnswer(before, partial.message, { hasBegun: startedAt !== undefined }),
  }
}

export function completed(
  run: RunSnapshot,
  end: AgentOutput,
  whole: TurnMessage | undefined,
  before: TurnMessage | undefined,
) {
  const { uiMessage, usage, chunkCount, pendingActions = [] } = end
  const said = whole ?? uiMessage
  // The payload may have held a shortened answer. The answer from the stream therefore extends the stored answer.
  const known = end.textCut && whole !== undefined ? undefined : run.payload?.continues?.message.parts.length
  const answer = before === undefined ? said : extendedAnswer(before, said, { hasBegun: true, known })
  const output = storable(
    answer,
    'failed',
    pendingActions.map(({ toolCallId }) => toolCallId),
  )
  return {
    status: 'completed',
    output,
    text: textOf(output),
    usage,
    facts: completedFacts(run, end),
    errorCode: null,
    error: null,
    frameCount: chunkCount,
    truncated: whole === undefined,
  } as const
}

export function partially(partial: PartialAnswer, reason: ClosingReason, run?: RunSnapshot) {
  const { message, chunks, frameCount, truncated } = partial
  const output = message === null ? null : storable(message, reason)
  const usage = partialUsage(chunks, run?.payload)
  return {
    output,
    text: output === null ? '' : textOf(output),
    usage: usage !== null && truncated ? { ...usage, estimated: true } : usage,
    facts: partialFacts(chunks, run),
    frameCount,
    truncated,
  }
}
