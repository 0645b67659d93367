import { convertToModelMessages, type ModelMessage } from 'ai'
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
 * reasoning and empty messages are left out, and a message that does not convert is reduced to its texts.
 */
export async function toModelMessages(messages: TurnMessage[]): Promise<ModelMessage[]> {
  const converted = await Promise.all(messages.map(convert))
  return converted.flat().filter(({ content }) => content.length > 0)
}

async function convert(message: TurnMessage): Promise<ModelMessage[]> {
  const { role } = message
  if (role === 'system') return []
  const parts = Array.isArray(message.parts) ? message.parts.filter((part) => part?.type !== 'reasoning') : []
  try {
    return await convertToModelMessages([{ role, parts }], { ignoreIncompleteToolCalls: true })
  } catch {
    const text = parts.map((part) => (part?.type === 'text' ? String(part.text ?? '') : '')).join('')
    return text ? [{ role, content: text }] : []
  }
}
