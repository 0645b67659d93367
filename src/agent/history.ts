import { convertToModelMessages, type ModelMessage, validateUIMessages } from 'ai'
import { isBlank } from './prompt.ts'
import type { HistoryMessage } from './turn.ts'

/** How much of a conversation goes to the model. */
export interface HistoryWindow {
  messages: number
  /** Bytes of the messages as JSON. */
  bytes: number
}

export const HISTORY_WINDOW: HistoryWindow = { messages: 50, bytes: 120 * 1024 }

/** What the model reads at the end of an answer whose turn was cancelled or failed. */
export const INTERRUPTED = '[This answer was interrupted.]'

/** The newest whole turns that fit; a turn begins with a message of the user. */
export function windowHistory(messages: HistoryMessage[], window = HISTORY_WINDOW): HistoryMessage[] {
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

function turns(messages: HistoryMessage[]): [number, HistoryMessage[]][] {
  const starts = messages.flatMap(({ role }, at) => (at === 0 || role === 'user' ? [at] : []))
  return starts.map((start, n) => [start, messages.slice(start, starts[n + 1])])
}

/**
 * The prompt of a turn. A part that the model cannot take must not wedge the conversation: unfinished tool calls,
 * earlier reasoning and blank texts are left out, and a message that is not valid is reduced to its texts.
 */
export async function toModelMessages(messages: HistoryMessage[]): Promise<ModelMessage[]> {
  const converted = await Promise.all(messages.map(convert))
  return converted.flat().filter(({ content }) => content.length > 0)
}

async function convert({ id, role, parts, status }: HistoryMessage): Promise<ModelMessage[]> {
  if (role !== 'user' && role !== 'assistant') return []
  const isInterrupted = role === 'assistant' && (status === 'cancelled' || status === 'failed')
  const kept = Array.isArray(parts) ? parts.filter(isKept).map(withoutMetadata) : []
  if (isInterrupted) kept.push(...interruptedAfter(kept.at(-1)))
  try {
    const [message] = await validateUIMessages({ messages: [{ id, role, parts: kept }] })
    return message ? await convertToModelMessages([message], { ignoreIncompleteToolCalls: true }) : []
  } catch {
    const text = kept.map((part) => (part?.type === 'text' ? String(part.text ?? '') : '')).join('')
    return isBlank(text) ? [] : [{ role, content: text }]
  }
}

type Part = HistoryMessage['parts'][number]

/** Behind a tool call the mark is a step of its own: within the step it would stand before the call. */
function interruptedAfter(last: Part | undefined): Part[] {
  const mark: Part = { type: 'text', text: INTERRUPTED }
  return last === undefined || last.type === 'text' ? [mark] : [{ type: 'step-start' }, mark]
}

/** Texts, files and tool calls with their steps; what else a provider has sent means nothing to another. */
const KEPT = /^(step-start|file|dynamic-tool|tool-.+)$/

function isKept(part: Part): boolean {
  if (part?.type === 'text') return typeof part.text !== 'string' || !isBlank(part.text)
  if (part === null || typeof part !== 'object' || typeof part.type !== 'string') return false
  return KEPT.test(part.type) && !('preliminary' in part && part.preliminary)
}

/**
 * What a provider noted beside a part (ids of stored items, signatures) is for the turn in which it was written: in
 * later turns the provider may have forgotten it, and another provider refuses it.
 */
function withoutMetadata(part: Part): Part {
  if (part === null || typeof part !== 'object') return part
  const { providerMetadata, callProviderMetadata, resultProviderMetadata, ...kept } = part as Part & {
    providerMetadata?: unknown
    callProviderMetadata?: unknown
    resultProviderMetadata?: unknown
  }
  return kept as Part
}
