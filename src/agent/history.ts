import { convertToModelMessages, type ModelMessage, validateUIMessages } from 'ai'
import type { TurnMessage } from './turn.ts'

/** How much of a conversation goes to the model. */
export interface HistoryWindow {
  messages: number
  /** Bytes of the messages as JSON. */
  bytes: number
}

export const HISTORY_WINDOW: HistoryWindow = { messages: 50, bytes: 120 * 1024 }

/** The newest whole turns that fit; a turn begins with a message of the user. */
export function windowHistory(messages: TurnMessage[], window = HISTORY_WINDOW): TurnMessage[] {
  let count = 0
  let bytes = 0
  let from = messages.length
  for (const [start, turn] of turns(messages).reverse()) {
    count += turn.length
    bytes += turn.reduce((sum, message) => sum + Buffer.byteLength(JSON.stringify(message)) + 1, 0)
    if (count > window.messages || bytes > window.bytes) break
    from = start
  }
  return messages.slice(from)
}

function turns(messages: TurnMessage[]): [number, TurnMessage[]][] {
  const starts = messages.flatMap(({ role }, at) => (at === 0 || role === 'user' ? [at] : []))
  return starts.map((start, n) => [start, messages.slice(start, starts[n + 1])])
}

/**
 * The prompt of a turn. What the model cannot take must not wedge the conversation: unfinished tool calls, earlier
 * reasoning and empty messages are left out, and a message that is not valid is reduced to its texts.
 */
export async function toModelMessages(messages: TurnMessage[]): Promise<ModelMessage[]> {
  const converted = await Promise.all(messages.map(convert))
  return converted.flat().filter(({ content }) => content.length > 0)
}

async function convert({ id, role, parts }: TurnMessage): Promise<ModelMessage[]> {
  if (role !== 'user' && role !== 'assistant') return []
  const kept = Array.isArray(parts) ? parts.filter((part) => part?.type !== 'reasoning') : []
  try {
    const [message] = await validateUIMessages({ messages: [{ id, role, parts: kept }] })
    return message ? await convertToModelMessages([message], { ignoreIncompleteToolCalls: true }) : []
  } catch {
    const text = kept.map((part) => (part?.type === 'text' ? String(part.text ?? '') : '')).join('')
    return [{ role, content: text }]
  }
}
