import { cleanText, head } from '../agent/clean.ts'
import { type Fault, problem } from '../errors.ts'
import { isUuid } from '../schemas/ids.ts'
import { MAX_TEXT } from '../schemas/shared.ts'
import type { StreamBody } from '../schemas/stream.ts'
import type { PageState } from '../services/read/page-state.ts'
import type { SeedMessage, TurnRequest } from '../services/start/new-turn.ts'

type UiMessage = StreamBody['messages'][number]

/** The turn that a chat page asks for, before its conversation has been found. */
export interface UiTurn {
  turn: Omit<TurnRequest, 'history' | 'conversationId'>
  /** The texts of the earlier messages, which begin a new conversation. */
  history: SeedMessage[]
  /** The conversation that the body names, or the newest message that carries one in its metadata. */
  conversationId: string | undefined
  /** The chat's id if it has the form of a conversation's id: a page may use its conversation's id for its chat. */
  namedByChat: string | undefined
  page: PageState
}

const MAX_HISTORY = 200
/** Most ids of messages that are compared with the stored conversation. The newest ids count. */
const MAX_KNOWN = 20
/** Stands for an earlier message while a body is validated. */
const PLACEHOLDER = { role: 'assistant', parts: [] }

/**
 * Takes all messages but the last one out of a body that is not validated yet, and leaves placeholders: a fault in an
 * earlier message is no reason to refuse the next one.
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
 * @param earlier the messages that `takeEarlier` took out of the body
 * @throws Problem `invalid_request`
 */
export function uiTurn(body: StreamBody, earlier: unknown[]): UiTurn {
  const { messages, agent, ifBusy, metadata, id, limits, responseFormat, webhook } = body
  const context = contextOf(body)
  const last = messages[messages.length - 1] as UiMessage
  const named = conversationNamed(body, earlier)
  return {
    turn: {
      message: messageOf(last, messages.length - 1),
      ...(agent === undefined ? {} : { agent }),
      ...(ifBusy === undefined ? {} : { ifBusy }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(context === undefined ? {} : { context }),
      ...(limits === undefined ? {} : { limits }),
      ...(responseFormat === undefined ? {} : { responseFormat }),
      ...(webhook === undefined ? {} : { webhook }),
    },
    history: historyOf(earlier),
    conversationId: named,
    namedByChat: isUuid(id) ? id : undefined,
    page: { ...pageState(body, earlier, last), ...chatState(body, earlier, named !== undefined) },
  }
}

/** The conversation that a body names, or the newest of its messages that names one. */
export function conversationNamed(
  { conversationId, messages }: StreamBody,
  earlier: unknown[],
): string | undefined {
  return conversationId ?? conversationIn([...earlier, messages.at(-1)])
}

/**
 * The id of a chat that no other page has: assistant-ui makes one for each thread of each page that is loaded. Ids that
 * pages share are passed over: two pages with such an id do not show the same.
 */
const OWN_CHAT = /^__LOCALID_[\w-]{4,64}$/

function chatState({ id }: StreamBody, earlier: unknown[], isNamed: boolean) {
  if (typeof id !== 'string' || !OWN_CHAT.test(id)) return { chatId: undefined, questions: undefined }
  const history = historyOf(earlier)
  // Of a longer history the conversation has stored the end only.
  const isWhole = !isNamed && history.length < MAX_HISTORY
  return { chatId: id, questions: isWhole ? history.filter(({ role }) => role === 'user').length : undefined }
}

/** Ids as the AI SDK and pages make them. Others are passed over. */
const PAGE_IDS = /^[\x21-\x7e]{1,128} [\x21-\x7e]{1,128}$/

function openedBy({ id }: StreamBody, last: UiMessage): string | undefined {
  const ids = `${id} ${last.id}`
  return PAGE_IDS.test(ids) ? ids : undefined
}

function contextOf({ context, currentPage }: StreamBody): Record<string, unknown> | undefined {
  return typeof currentPage === 'string' ? { currentPage, ...context } : context
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
 * The conversation that the newest message names. The transports of the AI SDK send back the metadata that the `start`
 * part has given to an answer. A page may put values of its own there, so a value that is no UUID is ignored.
 */
function conversationIn(messages: unknown[]): string | undefined {
  for (const message of messages.toReversed()) {
    const id = asRecord(asRecord(message)?.metadata)?.conversationId
    if (isUuid(id)) return id
  }
  return undefined
}

function pageState(
  body: StreamBody,
  earlier: unknown[],
  last: UiMessage,
): Omit<PageState, 'chatId' | 'questions'> {
  const { trigger, messageId, headMessageId } = body
  const known: PageState['known'] = []
  let unanswered = 0
  for (const message of earlier.toReversed()) {
    const { id, role } = asRecord(message) ?? {}
    if (isUuid(id) && known.length < MAX_KNOWN) known.push({ id: id.toLowerCase(), unanswered })
    if (role === 'user') unanswered++
  }
  return {
    text: textOf(last),
    openedBy: openedBy(body, last),
    headMessageId: headMessageId?.toLowerCase(),
    wish: trigger === 'regenerate-message' ? 'regenerate' : typeof messageId === 'string' ? 'edit' : 'append',
    messageId: isUuid(last.id) ? last.id.toLowerCase() : undefined,
    known,
  }
}

/** The newest texts of user and assistant. Messages of other roles are left out. */
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
