import type { UIMessageChunk } from 'ai'
import type { TurnMessage } from './turn.ts'

type Part = TurnMessage['parts'][number]

/** The sentence of a tool call whose result a limit has cut off. */
const CUT_OFF = 'A limit of the turn was reached before the tool had ended.'

/** Follows which texts and tool calls of a stream have begun and not ended. */
export function createOpenParts() {
  const open = new Map<string, UIMessageChunk>()
  return {
    observe(chunk: UIMessageChunk): void {
      switch (chunk.type) {
        case 'text-start':
        case 'reasoning-start':
          open.set(chunk.id, {
            type: chunk.type === 'text-start' ? 'text-end' : 'reasoning-end',
            id: chunk.id,
          })
          break
        case 'text-end':
        case 'reasoning-end':
          open.delete(chunk.id)
          break
        case 'tool-input-start':
        case 'tool-input-available':
          open.set(chunk.toolCallId, {
            type: 'tool-output-error',
            toolCallId: chunk.toolCallId,
            errorText: CUT_OFF,
          })
          break
        case 'tool-output-available':
          if (!chunk.preliminary) open.delete(chunk.toolCallId)
          break
        case 'tool-output-error':
        case 'tool-input-error':
          open.delete(chunk.toolCallId)
      }
    },
    /** The chunks that end what is open. */
    ends: (): UIMessageChunk[] => [...open.values()],
  }
}

/** Ends the parts of a message that a limit has cut, as the chunks of `ends` do for the readers of its stream. */
export function endParts(parts: Part[]): Part[] {
  return parts.map((part) => {
    if (part.type === 'text' || part.type === 'reasoning') return { ...part, state: 'done' }
    if (!('toolCallId' in part)) return part
    const hasResult = part.state.startsWith('output-') && !('preliminary' in part && part.preliminary)
    if (hasResult) return part
    const {
      output: _,
      preliminary: __,
      ...called
    } = part as Part & { output?: unknown; preliminary?: boolean }
    return { ...called, state: 'output-error', input: part.input ?? {}, errorText: CUT_OFF } as Part
  })
}
