import { createHash } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import type { Caller } from '../../caller.ts'
import type { Metadata } from '../../stores/schema.ts'
import type { NewTurn, StoredMessage } from '../../stores/turns.ts'

/** What a caller asks for: the body of start, sync and stream (docs/api.md, "Start"). */
export interface TurnRequest {
  message: string
  /** Prior turns; used only when the conversation is new. */
  history?: Array<{ role: 'user' | 'assistant'; content: string }>
  conversationId?: string
  ifBusy?: 'enqueue' | 'reject' | 'interrupt'
  metadata?: Metadata
}

const TITLE_CODE_POINTS = 100

/** The turn of a request, with ids of its own. */
export function newTurn(caller: Caller, request: TurnRequest, idempotencyKey: string | null): NewTurn {
  const { message, history = [], conversationId, ifBusy = 'enqueue', metadata = {} } = request
  return {
    turnId: uuid(),
    userId: caller.userId,
    actor: caller.actor ?? null,
    conversationId: conversationId?.toLowerCase() ?? uuid(),
    newConversation: conversationId === undefined,
    title: titleOf(message),
    seed: conversationId === undefined ? history.map(({ role, content }) => textMessage(role, content)) : [],
    message: textMessage('user', message),
    assistantMessageId: uuid(),
    metadata,
    ifBusy,
    idempotencyKey,
    requestHash:
      idempotencyKey === null ? null : hashOf({ message, history, conversationId, ifBusy, metadata }),
  }
}

function textMessage(role: 'user' | 'assistant', text: string): StoredMessage {
  return { id: uuid(), role, text, parts: [{ type: 'text', text }] }
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

/** Cut before it is spread: a code point has at most two code units, a message may have 100,000. */
const beginning = (text: string) =>
  [...text.slice(0, 2 * TITLE_CODE_POINTS)].slice(0, TITLE_CODE_POINTS).join('')

/** The canonical form of a turn: the order of keys and absent defaults make no difference. */
function hashOf(
  turn: Required<Omit<TurnRequest, 'conversationId'>> & { conversationId?: string | undefined },
): string {
  const canonical = [
    turn.message,
    turn.conversationId?.toLowerCase() ?? null,
    turn.ifBusy,
    turn.history.map(({ role, content }) => [role, content]),
    Object.entries(turn.metadata).sort(([a], [b]) => (a < b ? -1 : 1)),
  ]
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex')
}
