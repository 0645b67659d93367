import { sql } from 'kysely'
import type { TurnMessage } from '../agent/turn.ts'
import type { Database } from './database.ts'
import { MAX_METADATA_PAIRS, type Metadata } from './schema.ts'

export interface ConversationRecord {
  id: string
  title: string
  metadata: Metadata
  createdAt: Date
  updatedAt: Date
  lastActivityAt: Date
  /** The oldest unfinished run; null when there is none, or while it has no id. */
  activeRunId: string | null
}

export interface MessageRecord {
  id: string
  /** The engine's id of the turn's run; null for seeded history. */
  runId: string | null
  position: number
  seq: number
  role: 'user' | 'assistant'
  text: string
  parts: TurnMessage['parts']
  status: 'complete' | 'cancelled' | 'failed'
  createdAt: Date
  /** Of a failed message: its run's sentence and code. */
  error: string | null
  errorCode: string | null
}

const MAX_INTEGER = 2 ** 31 - 1

const CONVERSATION = sql.raw(`
  c.id, c.title, c.metadata, c.created_at as "createdAt", c.updated_at as "updatedAt",
  c.last_activity_at as "lastActivityAt",
  (select r.run_id from runs r where r.conversation_id = c.id and r.status in ('dispatching', 'queued', 'running')
   order by r.position limit 1) as "activeRunId"`)

/** Conversations of one user; a foreign one does not exist. */
export function conversationStore(database: Database) {
  return {
    async create(
      userId: string,
      conversation: { id: string; title: string; metadata: Metadata },
    ): Promise<ConversationRecord> {
      return one(
        await database.run((db) =>
          sql<ConversationRecord>`
            with c as (
              insert into conversations (id, user_id, title, metadata)
              values (${conversation.id}, ${userId}, ${conversation.title}, ${JSON.stringify(conversation.metadata)}::jsonb)
              returning *)
            select ${CONVERSATION} from c`.execute(db),
        ),
      )
    },

    async find(userId: string, id: string): Promise<ConversationRecord | undefined> {
      const { rows } = await database.run((db) =>
        sql<ConversationRecord>`
          select ${CONVERSATION} from conversations c where c.id = ${id} and c.user_id = ${userId}`.execute(
          db,
        ),
      )
      return rows[0]
    },

    /** Newest activity first. */
    async list(
      userId: string,
      page: { limit: number; before?: { lastActivityAt: Date; id: string } },
    ): Promise<ConversationRecord[]> {
      const before = page.before ?? null
      const { rows } = await database.run((db) =>
        sql<ConversationRecord>`
          select ${CONVERSATION} from conversations c
          where c.user_id = ${userId}
            and (${before === null} or (c.last_activity_at, c.id) < (${before?.lastActivityAt ?? null}::timestamptz, ${before?.id ?? null}::uuid))
          order by c.last_activity_at desc, c.id desc limit ${page.limit}`.execute(db),
      )
      return rows
    },

    /**
     * JSON merge patch (RFC 7396): a metadata value of null removes its key, `metadata: null` all of them. The
     * pairs are counted on the locked row: patches that arrive together cannot exceed the limit either.
     */
    async patch(
      userId: string,
      id: string,
      patch: { title?: string; metadata?: Record<string, string | null> | null },
    ): Promise<ConversationRecord | 'too_many_pairs' | undefined> {
      const { rows } = await database.run((db) =>
        sql<ConversationRecord | { id: null }>`
          with before as (
            select id, case
              when ${patch.metadata === undefined} then null
              when ${patch.metadata === null} then '{}'::jsonb
              else jsonb_strip_nulls(metadata || ${JSON.stringify(patch.metadata ?? {})}::jsonb) end as merged
            from conversations where id = ${id} and user_id = ${userId}
            for update),
          c as (
            update conversations set
              title = coalesce(${patch.title ?? null}, title),
              metadata = coalesce(before.merged, metadata),
              updated_at = now()
            from before
            where conversations.id = before.id
              and (select count(*) from jsonb_object_keys(before.merged)) <= ${MAX_METADATA_PAIRS}
            returning conversations.*)
          select ${CONVERSATION} from before left join c on true`.execute(db),
      )
      const [row] = rows
      return row?.id === null ? 'too_many_pairs' : row
    },

    /**
     * Removes the conversation, its messages and the contents of its runs; active runs are marked to be
     * cancelled (the sweeper finishes what the request does not).
     * @returns the unfinished runs; undefined when there was no such conversation
     */
    async remove(
      userId: string,
      id: string,
    ): Promise<Array<{ turnId: string; runId: string | null }> | undefined> {
      const { rows } = await database.run((db) =>
        sql<{ active: Array<{ turnId: string; runId: string | null }> | null }>`
          select delete_conversation(${userId}, ${id}) as active`.execute(db),
      )
      return rows[0]?.active ?? undefined
    },

    /**
     * A page of messages in the order of the conversation; undefined when there is no such conversation. A failed
     * run that said nothing has no message: here it gets one without a text, with the id that its answer was to have.
     */
    async messages(
      userId: string,
      id: string,
      page: { limit: number; order: 'asc' | 'desc'; after?: { position: number; seq: number } },
    ): Promise<MessageRecord[] | undefined> {
      const { limit, order, after } = page
      // The page begins behind the message, but its run may have failed without a message of its own: read it again.
      const from = after ?? (order === 'asc' ? { position: -1, seq: 0 } : { position: MAX_INTEGER, seq: 0 })
      const direction = sql.raw(order)
      const [reached, behind] =
        order === 'asc' ? [sql.raw('>='), sql.raw('>')] : [sql.raw('<='), sql.raw('<')]
      const { rows } = await database.run((db) =>
        sql<{ [K in keyof MessageRecord]: MessageRecord[K] | null }>`
          select shown.* from conversations c left join lateral (
            select answer.* from (
              select m.*, r.run_id as engine_run_id, r.error, r.error_code,
                r.status = 'failed' and r.output is null as failed, r.input, r.finished_at
              from messages m left join runs r on r.id = m.run_id
              where m.conversation_id = c.id
                and (m.position, m.seq) ${reached} (${from.position}::integer, ${from.seq}::integer)
              order by m.position ${direction}, m.seq ${direction} limit ${limit + 1}) m
            cross join lateral (
              select m.id, m.engine_run_id as "runId", m.position, m.seq, m.role, m.text, m.parts, m.status,
                m.created_at as "createdAt", case when m.status = 'failed' then m.error end as error,
                case when m.status = 'failed' then m.error_code end as "errorCode"
              union all
              select (m.input->>'assistantMessageId')::uuid, m.engine_run_id, m.position, 1, 'assistant', '',
                '[{"type": "step-start"}]', 'failed', m.finished_at, m.error, m.error_code
              where m.failed and m.role = 'user') answer
            where (answer.position, answer.seq) ${behind} (${from.position}::integer, ${from.seq}::integer)
            order by answer.position ${direction}, answer.seq ${direction} limit ${limit}) shown on true
          where c.id = ${id} and c.user_id = ${userId}`.execute(db),
      )
      if (rows.length === 0) return undefined
      return rows.filter((row): row is MessageRecord => row.id !== null)
    },

    /**
     * The newest of the messages that belongs to the conversation, with the number of the user's messages after it
     * (200 at most) and the newest message of all; undefined when none of them does, or the conversation is not
     * the user's.
     */
    async newestOf(
      userId: string,
      id: string,
      messageIds: string[],
    ): Promise<{ id: string; questionsAfter: number; headId: string } | undefined> {
      const [row] = await database.named<{ id: string; questionsAfter: number; headId: string }>(
        'newest_of_messages',
        `select m.id, (
             select count(*)::integer from (
               select from messages later where later.conversation_id = m.conversation_id and later.role = 'user'
                 and (later.position, later.seq) > (m.position, m.seq) limit 200) found
           ) as "questionsAfter", (
             select head.id from messages head where head.conversation_id = m.conversation_id
             order by head.position desc, head.seq desc limit 1
           ) as "headId"
         from messages m join conversations c on c.id = m.conversation_id
         where m.id = any($1::uuid[]) and c.id = $2 and c.user_id = $3
         order by m.position desc, m.seq desc limit 1`,
        [messageIds, id, userId],
      )
      return row
    },
  }
}

export type ConversationStore = ReturnType<typeof conversationStore>

function one<T>({ rows }: { rows: T[] }): T {
  const [row] = rows
  if (row === undefined) throw new Error('the statement returned no row')
  return row
}
