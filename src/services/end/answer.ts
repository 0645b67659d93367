import { cleanJson } from '../../agent/clean.ts'
import type { TurnMessage } from '../../agent/turn.ts'

type Part = TurnMessage['parts'][number]
export type ClosingReason = 'cancelled' | 'failed' | 'lost'

/**
 * The message in the form that is stored: all strings are well-formed, every block has ended, and every tool call has one
 * result.
 * @param waiting ids of the calls for which the turn waits. These calls have no result yet
 */
export function storable(message: TurnMessage, reason: ClosingReason, waiting: string[] = []): TurnMessage {
  const isWaiting = (part: Part) => 'toolCallId' in part && waiting.includes(part.toolCallId)
  const closed = message.parts.flatMap((part) => (isWaiting(part) ? [part] : closePart(part, reason)))
  return cleanJson({ id: message.id, role: message.role, parts: closed })
}

/** All text parts in order, joined without a separator: the same text as all text deltas of the stream together. */
export function textOf(message: TurnMessage): string {
  return message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

export interface ToolCallView {
  toolCallId: string
  toolName: string
  args: unknown
  result?: unknown
}

/** The turn's tool calls in order; a call that failed or was cut off has `{error}` as its result. */
export function toolCallsOf(message: TurnMessage): ToolCallView[] {
  return message.parts.flatMap((part) => {
    const tool = asTool(part)
    if (tool === undefined) return []
    const result =
      tool.state === 'output-available'
        ? { result: tool.output }
        : tool.state === 'output-error'
          ? { result: { error: tool.errorText } }
          : tool.state === 'output-denied'
            ? { result: { error: tool.approval?.reason ?? 'The call was denied.' } }
            : {}
    return [{ toolCallId: tool.toolCallId, toolName: tool.toolName, args: tool.input ?? null, ...result }]
  })
}

interface ToolPart {
  toolCallId: string
  toolName: string
  state: string
  input?: unknown
  output?: unknown
  errorText?: string
  preliminary?: boolean
  approval?: { reason?: string }
}

function asTool(part: Part): ToolPart | undefined {
  if (part.type === 'dynamic-tool') return part as unknown as ToolPart
  if (!part.type.startsWith('tool-')) return undefined
  return { ...(part as unknown as ToolPart), toolName: part.type.slice('tool-'.length) }
}

function closePart(part: Part, reason: ClosingReason): Part[] {
  if (part.type === 'text' || part.type === 'reasoning') return [{ ...part, state: 'done' }]
  const tool = asTool(part)
  if (tool === undefined) return [part]
  // A preliminary output is progress that a tool reported before its result.
  const hasResult = tool.state.startsWith('output-') && tool.preliminary !== true
  if (hasResult) return [part]
  const { output: _, preliminary: __, approval: ___, ...called } = part as unknown as ToolPart
  return [{ ...called, state: 'output-error', input: tool.input ?? {}, errorText: reason } as unknown as Part]
}
