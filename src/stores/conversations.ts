import { sql } from 'kysely'
import type { Database } from './database.ts'
import { MAX_METADATA_PAIRS, type Metadata } from './schema.ts'

export interface ConversationRecord {
  id: string
  /** Null until the first message gives it one. */
  title: string | null
  metadata: Metadata
  /** Null until the first turn fixes it. */
  agent: string | null
  createdAt: Date
  updatedAt: Date
  lastActivityAt: Date
  /** The engine's id of the oldest unfinished run; null when there is none, or while its turn is being dispatched. */
  activeRunId: string | null
  /** The text that stands for the oldest messages, and the id of the last one of them; absent in lists. */
  summary?: string | null
  summarizedThrough?: string | null
}

export interface ConversationFilter {
  agent?: string
  limit: number
  before?: ConversationPlace
}

/** The place of a conversation in a list. */
export interface ConversationPlace {
  lastActivityAt: Date
  id: string
}

export interface ConversationListPage {
  rows: ConversationRecord[]
  /** The conversation at which the search stopped before the page was full: the next page begins after it. */
  searchedTo?: ConversationPlace
}

/** The most conversations that one page compares with its filter. */
const SEARCHED = 500

/** How many messages, turns and runs the request itself removes. */
const DELETED_AT_ONCE = 500

/** The most messages that a fork copies. */
export const MAX_FORKED = 1_000

export type ForkOutcome =
  | { outcome: 'forked' | 'conversation_not_found' | 'message_not_found' | 'too_long' }
  | { outcome: 'busy'; activeRunId: string | null }

const FIELDS = `c.id, c.title, c.metadata, c.agent, c.created_at as "createdAt", c.updated_at as "updatedAt",
  c.last_activity_at as "lastActivityAt"`

/** A list leaves the summary out, which has up to 8 KiB. */
const CONVERSATION =
  sql.raw(`${FIELDS}, c.summary->>'text' as summary, c.summary->>'through' as "summarizedThrough",
  (select unfinished.run_id from (
    select r.run_id, r.position from runs r where r.conversation_id = c.id and r.status in ('queued', 'running')
    union all
    select null, t.position from turns t where t.conversation_id = c.id and t.state = 'dispatching'
   ) unfinished order by unfinished.position limit 1) as "activeRunId"`)

/** Conversations of one user. The conversation of another user counts as unknown. */
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
              insert into conversations (id, user_id, title, metadata, agent)
              values (${conversation.id}, ${userId}, ${conversation.title}, ${JSON.stringify(conversation.metadata)}::jsonb, null)
              returning *)
            select ${CONVERSATION} from c, note_event('conversation.created', c.user_id, c.id, '{}')`.execute(
            db,
          ),
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

    /**
     * Newest activity first. A filter by agent is applied to at most 500 conversations: `searchedTo` says where the
     * search stopped before the page was full.
     */
    async list(userId: string, filter: ConversationFilter): Promise<ConversationListPage> {
      const { agent, limit } = filter
      const before = filter.before ?? null
      const searched = agent === undefined ? limit : SEARCHED
      const ofAgent = agent === undefined ? sql`` : sql`where agent = ${agent}`
      const { rows } = await database.page((db) =>
        sql<ConversationRecord & { searched: number; searchedAt: Date | null; searchedId: string | null }>`
          with candidates as materialized (
            select * from conversations
            where user_id = ${userId} and not hidden
              and (${before === null} or (last_activity_at, id) < (${before?.lastActivityAt ?? null}::timestamptz, ${before?.id ?? null}::uuid))
            order by last_activity_at desc, id desc limit ${searched}),
          page as materialized (
            select * from candidates ${ofAgent} order by last_activity_at desc, id desc limit ${limit}),
          unfinished as materialized (
            select conversation_id, run_id, position from runs
            where conversation_id = any(array(select id from page)) and status in ('queued', 'running')
            union all
            select conversation_id, null, position from turns
            where conversation_id = any(array(select id from page)) and state = 'dispatching')
          select ${sql.raw(FIELDS)},
            (select run_id from unfinished where conversation_id = c.id order by position limit 1) as "activeRunId",
            extent.searched, last.last_activity_at as "searchedAt", last.id as "searchedId"
          from (select count(*)::integer as searched from candidates) extent
          left join (select last_activity_at, id from candidates order by last_activity_at, id limit 1) last on true
          left join page c on true order by c.last_activity_at desc, c.id desc`.execute(db),
      )
      const [first] = rows
      const found = rows
        .filter(({ id }) => id !== null)
        .map(({ searched: _, searchedAt: _at, searchedId: _id, ...row }) => row)
      const isFruitless = first?.searched === searched && found.length < limit
      return isFruitless && first.searchedAt !== null && first.searchedId !== null
        ? { rows: found, searchedTo: { lastActivityAt: first.searchedAt, id: first.searchedId } }
        : { rows: found }
    },

    /**
     * JSON merge patch (RFC 7396): a metadata value of null removes its key, `metadata: null` all of them. The
     * pairs are counted on the locked row, so that parallel patches cannot exceed the limit.
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
     * Deletes the conversation with its messages and the contents of its runs. All of them are hidden at once. This
     * statement removes a first batch, and the upkeep removes the rest. Unfinished runs get a wish to cancel.
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
     * The conversation that a message of a chat has opened. Only the twenty conversations in which the user was active last
     * are searched.
     * @param openedBy the ids of the chat and of the message
     */
    async openedBy(userId: string, openedBy: string): Promise<string | undefined> {
      const { rows } = await database.run((db) =>
        sql<{ id: string }>`
          select id from (
            select id, opened_by, last_activity_at from conversations where user_id = ${userId} and not hidden
            order by last_activity_at desc, id desc limit 20) recent
          where opened_by = ${openedBy} order by last_activity_at desc, id desc limit 1`.execute(db),
      )
      return rows[0]?.id
    },

    /** The conversation in which a chat has asked last. @param chatId an id that the page itself has made */
    async ofChat(userId: string, chatId: string): Promise<string | undefined> {
      const [row] = await database.named<{ id: string }>(
        'conversation_of_chat',
        `select c.id from turns t join conversations c on c.id = t.conversation_id and not c.hidden
         where t.user_id = $1 and t.chat_id = $2 order by t.created_at desc limit 1`,
        [userId, chatId],
      )
      return row?.id
    },

    /**
     * Copies the beginning of a conversation into a new one; see `sql/fork_conversation.sql`.
     * @param messageId the last message that is copied. Undefined: all messages are copied
     */
    async fork(
      userId: string,
      id: string,
      messageId: string | undefined,
      newId: string,
    ): Promise<ForkOutcome> {
      const { rows } = await database.run((db) =>
        sql<{ outcome: ForkOutcome }>`
          select fork_conversation(${userId}, ${id}, ${messageId ?? null}::uuid, ${newId}, ${MAX_FORKED}) as outcome`.execute(
          db,
        ),
      )
      return one({ rows }).outcome
    },
  }
}

export type ConversationStore = ReturnType<typeof conversationStore>

function one<T>({ rows }: { rows: T[] }): T {
  const [row] = rows
  if (row === undefined) throw new Error('the statement returned no row')
  return row
}
