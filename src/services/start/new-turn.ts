import { createHash } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import type { ResponseFormat, TurnLimits, TurnMessage } from '../../agent/turn.ts'
import type { Caller } from '../../caller.ts'
import type { Metadata } from '../../stores/schema.ts'
import type { NewTurn, StoredMessage } from '../../stores/turns.ts'
import { textOf } from '../end/answer.ts'

/** What a caller asks for: the body of start, sync and stream (docs/api.md#3-start). */
export interface TurnRequest {
  message: string
  /** Prior turns; used only when the conversation is new. */
  history?: SeedMessage[]
  conversationId?: string
  /** The agent that is asked; that of the conversation when absent, and `default` in a new one. */
  agent?: string
  ifBusy?: 'enqueue' | 'reject' | 'interrupt' | 'steer'
  metadata?: Metadata
  /** For the agent's instructions and tools; the database does not store it. */
  context?: Record<string, unknown>
  /** For the agent; the database stores neither of them. */
  limits?: TurnLimits
  responseFormat?: ResponseFormat
  /** Where the end of the run is reported. */
  webhook?: { url: string }
  /** The chat page that asks. Its wish is part of what makes two requests the same, its place is not. */
  page?: {
    wish: PageWish
    openedBy?: string | undefined
    chatId?: string | undefined
    place?: Place
    /** The page named no conversation, and the service has found it. */
    isFound?: boolean
  }
}

/**
 * What a chat page wants with its message. `append`: the message follows what the page shows. `edit`: the page has put
 * it in the place of an earlier message. `regenerate`: the page has removed an answer and wants another one.
 */
export type PageWish = 'append' | 'edit' | 'regenerate'

/** Where a message goes in its conversation, as far as the messages that a page shows tell. */
export type Place = Pick<NewTurn, 'retryOf' | 'editFrom' | 'lastPosition' | 'lastRunId'>

/** What a caller asks for who wants another answer to the question of a run. */
export interface RetryRequest
  extends Pick<TurnRequest, 'ifBusy' | 'metadata' | 'context' | 'limits' | 'responseFormat' | 'webhook'> {
  retryOf: string
}

/** A message of the history that a request brings along: a text, or parts. */
export interface SeedMessage {
  role: 'user' | 'assistant'
  content: string | TurnMessage['parts']
}

type Asked = Omit<NewTurn, 'agents'>

const TITLE_CODE_POINTS = 100

/** Makes the turn of a request, with new ids. */
export function newTurn(
  caller: Caller,
  request: TurnRequest | RetryRequest,
  { idempotencyKey, agents }: Pick<NewTurn, 'idempotencyKey' | 'agents'>,
): NewTurn {
  const turn =
    'retryOf' in request
      ? retryTurn(caller, request, idempotencyKey)
      : messageTurn(caller, request, idempotencyKey)
  return { ...turn, agents }
}

/** The fields that every turn has. */
const turnOf = (caller: Caller, idempotencyKey: string | null) => ({
  turnId: uuid(),
  userId: caller.userId,
  actor: caller.actor ?? null,
  assistantMessageId: uuid(),
  idempotencyKey,
})

/** The database knows the conversation and the question of the run. */
function retryTurn(caller: Caller, request: RetryRequest, idempotencyKey: string | null): Asked {
  const { retryOf, ifBusy = 'enqueue', metadata, context, limits, responseFormat, webhook } = request
  return {
    ...turnOf(caller, idempotencyKey),
    conversationId: uuid(),
    newConversation: false,
    title: '',
    seed: [],
    ...(metadata === undefined ? {} : { metadata }),
    ifBusy,
    requestHash:
      idempotencyKey === null
        ? null
        : digest(['retry', retryOf, ifBusy, metadata, context, limits, responseFormat, webhook]),
    ...reported(webhook),
    retryOf,
  }
}

/** The address to which the end of a run is reported, with its origin, which the operator must still allow then. */
const reported = (webhook: { url: string } | undefined) =>
  webhook === undefined ? {} : { webhook: { url: webhook.url, origin: new URL(webhook.url).origin } }

function messageTurn(caller: Caller, request: TurnRequest, idempotencyKey: string | null): Asked {
  const { message, history = [], conversationId, ifBusy = 'enqueue', metadata = {}, page } = request
  const { agent, context, limits, responseFormat, webhook } = request
  const isRetry = page?.place?.retryOf !== undefined
  return {
    ...turnOf(caller, idempotencyKey),
    conversationId: conversationId?.toLowerCase() ?? uuid(),
    newConversation: conversationId === undefined,
    ...(agent === undefined ? {} : { agent }),
    title: titleOf(message),
    seed: conversationId === undefined ? history.map(seedMessage) : [],
    message: textMessage('user', message),
    ...(isRetry && request.metadata === undefined ? {} : { metadata }),
    ifBusy,
    requestHash:
      idempotencyKey === null
        ? null
        : hashOf({
            ...{
              message,
              history,
              ifBusy,
              metadata,
              context,
              limits,
              responseFormat,
              webhook,
              agent,
              wish: page?.wish,
            },
            conversationId: page?.isFound ? undefined : conversationId,
          }),
    ...reported(webhook),
    ...(page?.openedBy === undefined ? {} : { openedBy: page.openedBy }),
    ...(page?.chatId === undefined ? {} : { chatId: page.chatId }),
    ...page?.place,
  }
}

function textMessage(role: 'user' | 'assistant', text: string): StoredMessage {
  return { id: uuid(), role, text, parts: [{ type: 'text', text }] }
}

function seedMessage({ role, content }: SeedMessage): StoredMessage {
  if (typeof content === 'string') return textMessage(role, content)
  const message = { id: uuid(), role, parts: content }
  return { ...message, text: textOf(message) }
}

/**
 * The first 100 code points of the message, with line breaks as spaces (CR LF is one). A message that begins with so
 * many blanks that the title would look empty is titled from its first visible character on.
 */
function titleOf(message: string): string {
  const title = beginning(message)
  const visible = /\S/.test(title) ? title : beginning(message.slice(Math.max(message.search(/\S/), 0)))
  return visible.replace(/\r\n|[\r\n\u2028\u2029]/g, ' ')
}

/** The text is cut before it is spread: a message may have 100,000 code units, a code point has at most two. */
const beginning = (text: string) =>
  [...text.slice(0, 2 * TITLE_CODE_POINTS)].slice(0, TITLE_CODE_POINTS).join('')

/** The canonical form of a turn: the order of keys and absent defaults make no difference. */
function hashOf(
  turn: Required<Pick<TurnRequest, 'message' | 'history' | 'ifBusy' | 'metadata'>> & {
    [Name in 'conversationId' | 'context' | 'limits' | 'responseFormat' | 'webhook' | 'agent']:
      | TurnRequest[Name]
      | undefined
  } & {
    wish: PageWish | undefined
  },
): string {
  const canonical = [
    turn.message,
    turn.conversationId?.toLowerCase() ?? null,
    turn.ifBusy,
    turn.history.map(({ role, content }) => [role, content]),
    sorted(turn.metadata),
    ...(turn.context === undefined ? [] : [turn.context]),
    // A context is a list of pairs here, so it cannot be taken for one of these.
    ...(turn.limits === undefined ? [] : ['limits', turn.limits]),
    ...(turn.responseFormat === undefined ? [] : ['responseFormat', turn.responseFormat]),
    ...(turn.webhook === undefined ? [] : ['webhook', turn.webhook]),
    ...(turn.agent === undefined ? [] : ['agent', turn.agent]),
    ...(turn.wish === undefined || turn.wish === 'append' ? [] : [turn.wish]),
  ]
  return digest(canonical)
}

const digest = (canonical: unknown[]): string =>
  createHash('sha256')
    .update(JSON.stringify(canonical, (_key, value) => sorted(value)))
    .digest('hex')

/** An object as the list of its fields in the order of their names; other values as they are. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
}
