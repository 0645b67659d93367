import { openCall } from '../../agent/actions/carry-out.ts'
import { UNKNOWN_OUTCOME } from '../../agent/history.ts'
import type { TurnMessage } from '../../agent/turn.ts'

type Part = TurnMessage['parts'][number]

const NOT_EXECUTED = 'The tool was not executed, because the run did not begin.'

/**
 * The answer of a run that goes on with an earlier one. The parts from before are those of the database; of the run come
 * the results of their calls, and the parts behind them. A call without a result ends with a sentence about that: a
 * worker that was lost may have executed it.
 * @param known how many parts of what was written are those from before
 */
export function extendedAnswer(
  before: TurnMessage,
  written: TurnMessage | null,
  { hasBegun, known = before.parts.length }: { hasBegun: boolean; known?: number | undefined },
): TurnMessage {
  const results = new Map(
    written?.parts.flatMap((part) =>
      'toolCallId' in part && isResult(part) ? [[part.toolCallId, part] as const] : [],
    ),
  )
  const parts = before.parts.map((part): Part => {
    const call = openCall(part)
    if (call === undefined) return part
    const result = results.get(call.toolCallId)
    const { state, output, errorText, approval } = (result ?? {}) as Record<string, unknown>
    if (result === undefined)
      return { ...part, state: 'output-error', errorText: hasBegun ? UNKNOWN_OUTCOME : NOT_EXECUTED } as Part
    return {
      ...part,
      state,
      ...(output === undefined ? {} : { output }),
      ...(errorText === undefined ? {} : { errorText }),
      ...(approval === undefined ? {} : { approval }),
    } as Part
  })
  return { ...before, parts: [...parts, ...(written?.parts.slice(known) ?? [])] }
}

const isResult = (part: Part): boolean =>
  'state' in part && String(part.state).startsWith('output-') && !('preliminary' in part && part.preliminary)
