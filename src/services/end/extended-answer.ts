import { openCall } from '../../agent/actions/carry-out.ts'
import { UNKNOWN_OUTCOME } from '../../agent/history.ts'
import type { TurnMessage } from '../../agent/turn.ts'

type Part = TurnMessage['parts'][number]

const NOT_EXECUTED = 'The tool was not executed, because the run did not begin.'

/**
 * The answer of the run of a continuation. The parts of the earlier runs are those in the database. The run adds the
 * results of their calls, and its own parts behind them. The result of a call without a result is a sentence that says
 * so, because a lost worker may have executed the call.
 * @param known how many parts of the written answer belong to the earlier runs
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
