import { cleanText, head } from '../agent/clean.ts'
import { type Fault, problem } from '../errors.ts'
import { isUuid } from '../schemas/ids.ts'
import type { StreamBody } from '../schemas/stream.ts'
import { MAX_TEXT } from '../schemas/turn.ts'
import type { PageState } from '../services/read/page-state.ts'
import type { TurnRequest } from '../services/start/new-turn.ts'

type UiMessage = StreamBody['messages'][number]

/** A turn as a chat page asks for it, before it is known which conversation it belongs to. */
export interface UiTurn {
  turn: Omit<TurnRequest, 'history' | 'conversationId'>
  /** What begins a new conversation: the texts of the earlier messages. */
  history: NonNullable<TurnRequest['history']>
  /** The conversation that the body names, or the newest message that carries one in its metadata. */
  conversationId: string | undefined
  /** The chat's id where it has the form of a conversation's: the page may use that of its conversation. */
  chatId: string | undefined
  page: PageState
}

const MAX_HISTORY = 200
/** Ids of messages that are compared with the stored conversation, newest first. */
const MAX_KNOWN = 20
/** Stands for an earlier message while a body is validated. */
const PLACEHOLDER = { role: 'assistant', parts: [] }

/**
 * Takes all messages but the last one out of a body that is not validated yet, and leaves placeholders: what a page
 * has shown before is no reason to refuse its next message.
 */
export function takeEarlier(body: unknown): unknown[] {
  const messages = asRecord(body)?.messages
  if (!Array.isArray(messages)) return []
  const earlier = messages.slice(0, -1)
  messages.fill(PLACEHOLDER, 0, -1)
  return earlier
}

/**
 * Reads the turn that a chat page asks for. Its message is the last one, which must be a user's text.
 * @param earlier what `takeEarlier` took out of the body
 * @throws Problem `invalid_request`
 */
export function uiTurn(body: StreamBody, earlier: unknown[]): UiTurn {
  const { messages, conversationId, ifBusy, metadata, id } = body
  const last = messages[messages.length - 1] as UiMessage
  return {
    turn: {
      message: messageOf(last, messages.length - 1),
      ...(ifBusy === undefined ? {} : { ifBusy }),
      ...(metadata === undefined ? {} : { metadata }),
    },
    history: historyOf(earlier),
    conversationId: conversationId ?? conversationIn([...earlier, last]),
    chatId: isUuid(id) ? id : undefined,
    page: pageState(body, earlier, last),
  }
}

function messageOf(last: UiMessage, place: number): string {
  if (last.role !== 'user') throw invalid([{ path: `/messages/${place}/role`, message: 'must be user' }])
  const faults = last.parts.flatMap((part, index) =>
    part.type === 'text' || part.type.startsWith('data-')
      ? []
      : [
          {
            path: `/messages/${place}/parts/${index}`,
            message: 'must be a text: the agent reads no other part',
          },
        ],
  )
  const message = textOf(last)
  if (faults.length === 0 && !/\S/.test(message))
    faults.push({ path: `/messages/${place}/parts`, message: 'must hold a text that is not blank' })
  if (message.length > MAX_TEXT)
    faults.push({ path: `/messages/${place}/parts`, message: `must have at most ${MAX_TEXT} characters` })
  if (faults.length > 0) throw invalid(faults)
  return message
}

/**
 * The transports of the AI SDK send back what the `start` part put into an answer's metadata. Metadata is the
 * page's own: a value that is no UUID is not meant for this service and is passed over.
 */
function conversationIn(messages: unknown[]): string | undefined {
  for (const message of messages.toReversed()) {
    const id = asRecord(asRecord(message)?.metadata)?.conversationId
    if (isUuid(id)) return id
  }
  return undefined
}

function pageState({ trigger, messageId }: StreamBody, earlier: unknown[], last: UiMessage): PageState {
  const known: PageState['known'] = []
  let unanswered = 0
  for (const message of earlier.toReversed()) {
    const { id, role } = asRecord(message) ?? {}
    if (isUuid(id)) known.push({ id: id.toLowerCase(), unanswered })
    if (known.length === MAX_KNOWN) break
    if (role === 'user') unanswered++
  }
  return {
    wish: trigger === 'regenerate-message' ? 'regenerate' : typeof messageId === 'string' ? 'edit' : 'append',
    messageId: isUuid(last.id) ? last.id.toLowerCase() : undefined,
    known,
  }
}

/** The newest texts of user and assistant; a message of another kind is not part of a conversation here. */
function historyOf(messages: unknown[]): UiTurn['history'] {
  return messages
    .flatMap((message) => {
      const { role, parts } = asRecord(message) ?? {}
      if ((role !== 'user' && role !== 'assistant') || !Array.isArray(parts)) return []
      const content = head(cleanText(textOf({ parts })), MAX_TEXT)
      return content === '' ? [] : [{ role, content } as const]
    })
    .slice(-MAX_HISTORY)
}

function textOf({ parts }: { parts: unknown[] }): string {
  return parts
    .map(asRecord)
    .flatMap((part) => (part?.type === 'text' && typeof part.text === 'string' ? [part.text] : []))
    .join('\n')
}

function asRecord(value: unknown): Record<string, unknown> | undefined {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isRecord ? (value as Record<string, unknown>) : undefined
}

const invalid = (errors: Fault[]) => problem('invalid_request', { members: { errors } })
