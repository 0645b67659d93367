import type { FinishReason } from '../../agent/turn.ts'
import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import { runFailure } from '../../run-failures.ts'
import type { MessageRecord } from '../../stores/messages.ts'
import type { ServiceContext } from '../context.ts'
import type { Place } from '../start/new-turn.ts'
import { type PageState, placeOf } from './page-state.ts'
import { decodeCursor, type Page, pageOf } from './pagination.ts'

export interface MessageView {
  id: string
  role: 'user' | 'assistant'
  text: string
  parts: MessageRecord['parts']
  status: 'complete' | 'cancelled' | 'failed'
  /** A sentence for people about the failure of the run. `errorCode` is its code. Only a failed message has them. */
  error?: string
  errorCode?: string
  /** Only an answer that is not cut off has it. */
  finishReason?: FinishReason
  /** True for a message that has left the thread. */
  superseded?: true
  runId?: string
  /** The metadata that the message has in a stream. A failed message also has its failure here. */
  metadata: {
    conversationId: string
    runId?: string
    status?: 'failed'
    error?: string
    errorCode?: string
    finishReason?: FinishReason
  }
  createdAt: string
}

export interface MessageQuery {
  limit: number
  cursor?: string
  order: 'asc' | 'desc'
  /** `superseded` adds the messages that have left the thread. */
  include?: 'superseded'
}

export interface MessageService {
  /**
   * In the order of the conversation (`asc`), or newest first. A failed run without an answer has an empty message.
   * @throws Problem `conversation_not_found`, also for a foreign conversation
   */
  list(caller: Caller, conversationId: string, query: MessageQuery): Promise<Page<MessageView>>
  /**
   * Finds the place of a chat page's message in its conversation.
   * @param idempotencyKey the turn of a known key has its place already, so the page is not compared with the conversation
   * @throws Problem `edit_unsupported`, `regenerate_unsupported`, `turn_not_last`, `conversation_changed`
   */
  placeOf(caller: Caller, conversationId: string, page: PageState, idempotencyKey?: string): Promise<Place>
}

export function messageService({ stores }: ServiceContext): MessageService {
  return {
    async list(caller, id, { limit, cursor, order, include }) {
      const conversationId = id.toLowerCase()
      const all = include === 'superseded'
      const filters = [
        'messages',
        conversationId,
        ...(order === 'asc' ? [] : [order]),
        ...(all ? [include] : []),
      ]
      const types = ['integer', 'integer'] as const
      const [position, seq, last] = decodeCursor(cursor, filters, all ? [...types, 'uuid'] : [...types]) ?? []
      const after =
        position === undefined || seq === undefined
          ? {}
          : {
              after: {
                position: Number(position),
                seq: Number(seq),
                ...(last === undefined ? {} : { id: last }),
              },
            }
      const page = { limit: limit + 1, order, ...after }
      const rows = await (all ? stores.messages.listAll : stores.messages.list)(caller.userId, id, page)
      if (rows === undefined) throw problem('conversation_not_found')
      return pageOf(rows, limit, filters, {
        item: (row) => messageView(conversationId, row),
        key: (row) => [String(row.position), String(row.seq), ...(all ? [row.id] : [])],
      })
    },

    placeOf: (caller, id, page, idempotencyKey) => placeOf(stores, caller, id, page, idempotencyKey),
  }
}

function messageView(
  conversationId: string,
  {
    id,
    role,
    text,
    parts,
    status,
    runId,
    createdAt,
    error,
    errorCode,
    finishReason,
    superseded,
  }: MessageRecord,
): MessageView {
  const run = runId === null ? {} : { runId }
  const failure = errorCode === null ? {} : { error: error ?? runFailure(errorCode).message, errorCode }
  const finish = finishReason === null ? {} : { finishReason }
  return {
    id,
    role,
    text,
    parts,
    status,
    ...failure,
    ...finish,
    ...(superseded ? { superseded } : {}),
    ...run,
    metadata: { conversationId, ...run, ...(status === 'failed' ? { status, ...failure } : {}), ...finish },
    createdAt: createdAt.toISOString(),
  }
}
