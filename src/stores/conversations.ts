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
}

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
      const { rows } = await database.page((db) =>
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

    /** In conversation order, oldest first; undefined when there is no such conversation. */
    async messages(
      userId: string,
      id: string,
      page: { limit: number; after?: { position: number; seq: number } },
    ): Promise<MessageRecord[] | undefined> {
      const after = page.after ?? null
      const { rows } = await database.page((db) =>
        sql<{ [K in keyof MessageRecord]: MessageRecord[K] | null }>`
          select m.* from conversations c left join lateral (
            select m.id, r.run_id as "runId", m.position, m.seq, m.role, m.text, m.parts, m.status,
              m.created_at as "createdAt"
            from messages m left join runs r on r.id = m.run_id
            where m.conversation_id = c.id
              and (${after === null} or (m.position, m.seq) > (${after?.position ?? null}::integer, ${after?.seq ?? null}::integer))
            order by m.position, m.seq limit ${page.limit}) m on true
          where c.id = ${id} and c.user_id = ${userId}`.execute(db),
      )
      if (rows.length === 0) return undefined
      return rows.filter((row): row is MessageRecord => row.id !== null)
    },
  }
}

export type ConversationStore = ReturnType<typeof conversationStore>

function one<T>({ rows }: { rows: T[] }): T {
  const [row] = rows
  if (row === undefined) throw new Error('the statement returned no row')
  return row
}
