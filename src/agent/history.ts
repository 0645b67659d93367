import { convertToModelMessages, type ModelMessage, validateUIMessages } from 'ai'
import { isBlank } from './prompt.ts'
import type { HistoryMessage, TurnMessage } from './turn.ts'

/** How much of a conversation goes to the model. */
export interface HistoryWindow {
  messages: number
  /** Bytes of the messages as JSON. */
  bytes: number
}

export const HISTORY_WINDOW: HistoryWindow = { messages: 50, bytes: 120 * 1024 }

/** The mark that the model reads at the end of an answer whose turn was cancelled or failed. */
export const INTERRUPTED = '[This answer was interrupted.]'

/** The newest whole turns that fit; a turn begins with a message of the user. */
export function windowHistory(messages: HistoryMessage[], window = HISTORY_WINDOW): HistoryMessage[] {
  let count = 0
  let bytes = 0
  let from = messages.length
  for (const turn of turnsOf(messages).reverse()) {
    count += turn.length
    bytes += turn.reduce((sum, message) => sum + Buffer.byteLength(JSON.stringify(message)) + 1, 0)
    if (count > window.messages || bytes > window.bytes) break
    from -= turn.length
  }
  return messages.slice(from)
}

/** The whole turns of a history, oldest first. */
export function turnsOf(messages: HistoryMessage[]): HistoryMessage[][] {
  const starts = messages.flatMap(({ role }, at) => (at === 0 || role === 'user' ? [at] : []))
  return starts.map((start, n) => messages.slice(start, starts[n + 1]))
}

/**
 * Converts messages to the prompt of a turn. A stored part that the model cannot take would make every later turn fail.
 * So unfinished tool calls, earlier reasoning and blank texts are left out, and an invalid message is reduced to its
 * texts.
 */
export async function toModelMessages(messages: HistoryMessage[]): Promise<ModelMessage[]> {
  const converted = await Promise.all(messages.map(convert))
  return converted.flat().filter(({ content }) => content.length > 0)
}

/** The answer of a turn that goes on, with its reasoning: a provider may want it back before the results of its calls. */
export async function ownMessages(message: TurnMessage): Promise<ModelMessage[]> {
  if (message.parts.length === 0) return []
  try {
    const valid = await validateUIMessages({ messages: [{ ...message, parts: message.parts.map(told) }] })
    return await convertToModelMessages(valid, { ignoreIncompleteToolCalls: true })
  } catch {
    return toModelMessages([message])
  }
}

async function convert({ id, role, parts, status }: HistoryMessage): Promise<ModelMessage[]> {
  if (role !== 'user' && role !== 'assistant') return []
  const isInterrupted = role === 'assistant' && (status === 'cancelled' || status === 'failed')
  const kept = Array.isArray(parts) ? parts.filter(isKept).map(withoutMetadata).map(closed).map(told) : []
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

const UNANSWERED = 'Nobody has answered, and the conversation went on.'
/** What the model and callers read about an approved call of which no result is known. */
export const UNKNOWN_OUTCOME = 'It is not known whether the tool was executed.'

/** Ends a call for which its turn has waited. In a history nothing waits any more. */
function closed(part: Part): Part {
  if (part === null || typeof part !== 'object' || !('toolCallId' in part) || !('approval' in part))
    return part
  const { approval, ...call } = part
  if (call.state === 'approval-responded' && approval?.approved)
    return { ...call, state: 'output-error', errorText: UNKNOWN_OUTCOME } as Part
  if (call.state !== 'approval-requested' && call.state !== 'approval-responded') return part
  const { id = '', reason } = (approval ?? {}) as { id?: string; reason?: string }
  return {
    ...call,
    state: 'output-denied',
    approval: { id, approved: false, reason: reason ?? UNANSWERED },
  } as Part
}

/** A denied call as the model reads it. Providers pass on the reason alone, so it has to say that the call was denied. */
function told(part: Part): Part {
  if (part === null || typeof part !== 'object' || !('toolCallId' in part)) return part
  if (part.state !== 'output-denied') return part
  const { id = '', reason = 'It was denied.' } = (part.approval ?? {}) as { id?: string; reason?: string }
  return {
    ...part,
    approval: { id, approved: false, reason: `The call was not executed: ${reason}` },
  } as Part
}

/** After a tool call the mark gets a step of its own: within the call's step it would stand before the call. */
function interruptedAfter(last: Part | undefined): Part[] {
  const mark: Part = { type: 'text', text: INTERRUPTED }
  return last === undefined || last.type === 'text' ? [mark] : [{ type: 'step-start' }, mark]
}

/** Types of the parts that a prompt keeps beside texts. Parts of other types have a meaning for one provider only. */
const KEPT = /^(step-start|file|dynamic-tool|tool-.+)$/

function isKept(part: Part): boolean {
  if (part?.type === 'text') return typeof part.text !== 'string' || !isBlank(part.text)
  if (part === null || typeof part !== 'object' || typeof part.type !== 'string') return false
  return KEPT.test(part.type) && !('preliminary' in part && part.preliminary)
}

/**
 * Removes a provider's metadata (ids of stored items, signatures) from a part. The metadata is of use only within the
 * turn that wrote it: later the provider may have deleted the item, and another provider refuses the metadata.
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
