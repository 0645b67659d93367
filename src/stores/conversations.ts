import { sql } from 'kysely'
import type { TurnMessage } from '../agent/turn.ts'
import type { Database } from './database.ts'
import { MAX_METADATA_PAIRS, type Metadata } from './schema.ts'

export interface ConversationRecord {
  id: string
  /** Null until the first message gives it one. */
  title: string | null
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

/** Messages, turns and runs that the request itself removes. */
const DELETED_AT_ONCE = 500

const CONVERSATION = sql.raw(`
  c.id, c.title, c.metadata, c.created_at as "createdAt", c.updated_at as "updatedAt",
  c.last_activity_at as "lastActivityAt",
  (select unfinished.run_id from (
    select r.run_id, r.position from runs r where r.conversation_id = c.id and r.status in ('queued', 'running')
    union all
    select null, t.position from turns t where t.conversation_id = c.id and t.state = 'dispatching'
   ) unfinished order by unfinished.position limit 1) as "activeRunId"`)

/** Conversations of one user; a foreign one does not exist. */
export function conversationStore(database: Database) {
  return {
    async create(
      userId: string,
      conversation: { id: string; title: string | null; metadata: Metadata },
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
          select ${CONVERSATION} from conversations c where c.id = ${id} and c.user_id = ${userId} and not c.hidden`.execute(
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
          where c.user_id = ${userId} and not c.hidden
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
            from conversations where id = ${id} and user_id = ${userId} and not hidden
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
     * Deletes the conversation with its messages and the contents of its runs. What is too much for one statement
     * is hidden at once and removed in the background. Unfinished runs are marked to be cancelled.
     * @returns the unfinished runs; undefined when there was no such conversation
     */
    async remove(
      userId: string,
      id: string,
    ): Promise<Array<{ turnId: string; runId: string | null }> | undefined> {
      const { rows } = await database.run((db) =>
        sql<{ active: Array<{ turnId: string; runId: string | null }> | null }>`
          select delete_conversation(${userId}, ${id}, ${DELETED_AT_ONCE}) as active`.execute(db),
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
      const direction = sql.raw(page.order)
      const behind = sql.raw(page.order === 'asc' ? '>' : '<')
      const after =
        page.after === undefined
          ? sql``
          : sql`and (m.position, m.seq) ${behind} (${page.after.position}, ${page.after.seq})`
      const { rows } = await database.run((db) =>
        sql<{ [K in keyof MessageRecord]: MessageRecord[K] | null }>`
          select m.*, t.run_id as "runId", failure.error, failure.error_code as "errorCode"
          from conversations c left join lateral (
            select m.id, m.position, m.seq, m.role, m.text, m.parts, m.status, m.created_at as "createdAt"
            from messages m where m.conversation_id = c.id and m.status <> 'abandoned' ${after}
            order by m.position ${direction}, m.seq ${direction} limit ${page.limit}) m on true
          left join turns t on t.conversation_id = c.id and t.position = m.position
          left join lateral (
            select error, error_code from runs where m.status = 'failed' and runs.run_id = t.run_id) failure on true
          where c.id = ${id} and c.user_id = ${userId} and not c.hidden
          order by m.position ${direction}, m.seq ${direction}`.execute(db),
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
                 and later.status <> 'abandoned'
                 and (later.position, later.seq) > (m.position, m.seq) limit 200) found
           ) as "questionsAfter", (
             select head.id from messages head where head.conversation_id = m.conversation_id and head.status <> 'abandoned'
             order by head.position desc, head.seq desc limit 1
           ) as "headId"
         from messages m join conversations c on c.id = m.conversation_id
         where m.id = any($1::uuid[]) and m.status <> 'abandoned' and c.id = $2 and c.user_id = $3
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
