import { cleanJson } from '../../agent/clean.ts'
import type { TurnMessage } from '../../agent/turn.ts'

type Part = TurnMessage['parts'][number]
export type ClosingReason = 'cancelled' | 'failed' | 'lost'

/** What may be stored: well-formed strings, every block ended, every tool call with exactly one result. */
export function storable(message: TurnMessage, reason: ClosingReason): TurnMessage {
  const closed = message.parts.flatMap((part) => closePart(part, reason))
  return cleanJson({ id: message.id, role: message.role, parts: closed })
}

/** All text parts in order, joined with nothing: what the stream's text deltas add up to. */
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
}

function asTool(part: Part): ToolPart | undefined {
  if (part.type === 'dynamic-tool') return part as unknown as ToolPart
  if (!part.type.startsWith('tool-')) return undefined
  return { ...(part as unknown as ToolPart), toolName: part.type.slice('tool-'.length) }
}

function closePart(part: Part, reason: ClosingReason): Part[] {
  if (part.type === 'text' || part.type === 'reasoning') return [{ ...part, state: 'done' }]
  const tool = asTool(part)
  if (tool === undefined || tool.state.startsWith('output-') || tool.state.startsWith('approval-'))
    return [part]
  const closed = { ...part, state: 'output-error', input: tool.input ?? {}, errorText: reason }
  return [closed as unknown as Part]
}
