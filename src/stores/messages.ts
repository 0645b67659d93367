import { sql } from 'kysely'
import type { FinishReason, TurnMessage } from '../agent/turn.ts'
import type { Database } from './database.ts'

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
  /** The sentence and the code of the run's failure. Only a failed message has them. */
  error: string | null
  errorCode: string | null
  /** Only an answer that is not cut off has it. Null in an answer of an older worker. */
  finishReason: FinishReason | null
  /** Whether the message has left the thread, because a retry or an edit has replaced its turn. */
  superseded: boolean
}

export interface MessagePage {
  limit: number
  order: 'asc' | 'desc'
  after?: { position: number; seq: number; id?: string }
}

/** The result of comparing the messages on a chat page with those of its conversation. */
export interface ShownState {
  /** The newest message of the conversation that the page shows. */
  knownId: string | null
  /**
   * The stored question that the message of the page stands for. It is the first of these that exists:
   * 1. the question with the id of the message, or the question that has replaced that one;
   * 2. the question at the same place behind the newest message that the page shows.
   * If the page shows no stored message:
   * 3. the first question, if the message has opened the conversation;
   * 4. the question at the place of the message, if the page's own chat has asked the newest question;
   * 5. the newest question, if the page wants another answer to it and has the same text.
   */
  targetId: string | null
  targetPosition: number | null
  /** Whether the message of the page has the text of that question. */
  sameText: boolean | null
  /** Whether the page shows an answer that has left the thread. */
  showsSuperseded: boolean
  /** Whether the page's own chat has asked the newest question. */
  askedLast: boolean
  headId: string | null
  /** The place of the newest turn, 0 when there is none, and its run. */
  lastPosition: number
  lastRunId: string | null
}

/** Messages of the conversations of one user. The conversation of another user counts as unknown. */
export function messageStore(database: Database) {
  return {
    /**
     * A page of messages in the order of the conversation; undefined when there is no such conversation. A failed run
     * without an answer has an empty message.
     */
    async list(userId: string, id: string, page: MessagePage): Promise<MessageRecord[] | undefined> {
      const direction = sql.raw(page.order)
      const behind = sql.raw(page.order === 'asc' ? '>' : '<')
      const after =
        page.after === undefined
          ? sql``
          : sql`and (m.position, m.seq) ${behind} (${page.after.position}, ${page.after.seq})`
      const { rows } = await database.page((db) =>
        sql<{ [K in keyof MessageRecord]: MessageRecord[K] | null }>`
          with owned as materialized (
            select id from conversations where id = ${id} and user_id = ${userId} and not hidden),
          page as materialized (
            select m.id, m.position, m.seq, m.role, m.text, m.parts, m.status,
              m.finish_reason as "finishReason", m.created_at as "createdAt", false as superseded
            from messages m where m.conversation_id = (select id from owned) and m.status <> 'abandoned' ${after}
            order by m.position ${direction}, m.seq ${direction} limit ${page.limit}),
          asked as materialized (
            select position, run_id from turns where conversation_id = (select id from owned)
              and position between (select min(position) from page) and (select max(position) from page))
          select m.*, t.run_id as "runId", failure.error, failure.error_code as "errorCode"
          from owned left join page m on true left join asked t on t.position = m.position
          left join lateral (
            select error, error_code from runs where run_id = case m.status when 'failed' then t.run_id end) failure on true
          order by m.position ${direction}, m.seq ${direction}`.execute(db),
      )
      if (rows.length === 0) return undefined
      return rows.filter((row): row is MessageRecord => row.id !== null)
    },

    /**
     * The same page together with the superseded messages at their former places. Several answers at one place stand in the
     * order of their turns, the newest one last.
     */
    async listAll(userId: string, id: string, page: MessagePage): Promise<MessageRecord[] | undefined> {
      const direction = sql.raw(page.order)
      const behind = sql.raw(page.order === 'asc' ? '>' : '<')
      const { after } = page
      const from =
        after?.id === undefined
          ? sql``
          : sql`and (m.position, m.seq, m.id) ${behind} (${after.position}, ${after.seq}, ${after.id}::uuid)`
      const order = sql`order by position ${direction}, seq ${direction}, id ${direction} limit ${page.limit}`
      const fields = sql.raw(
        'm.id, m.turn_id, m.position, m.seq, m.role, m.text, m.parts, m.status, m.finish_reason, m.created_at',
      )
      const { rows } = await database.page((db) =>
        sql<{ [K in keyof MessageRecord]: MessageRecord[K] | null }>`
          with owned as materialized (
            select id from conversations where id = ${id} and user_id = ${userId} and not hidden),
          page as materialized (
            select * from (
              (select ${fields}, false as superseded from messages m
               where m.conversation_id = (select id from owned) and m.status <> 'abandoned' ${from} ${order})
              union all
              (select ${fields}, true from superseded_messages m
               where m.conversation_id = (select id from owned) and m.status <> 'abandoned' ${from} ${order})) m
            ${order})
          select m.id, m.position, m.seq, m.role, m.text, m.parts, m.status, m.finish_reason as "finishReason",
            m.created_at as "createdAt", m.superseded, t.run_id as "runId", failure.error, failure.error_code as "errorCode"
          from owned left join page m on true
          left join lateral (
            select run_id from turns where m.superseded and id = m.turn_id
            union all
            select run_id from turns where not m.superseded and conversation_id = owned.id and position = m.position) t on true
          left join lateral (
            select error, error_code from runs where run_id = case m.status when 'failed' then t.run_id end) failure on true
          order by m.position ${direction}, m.seq ${direction}, m.id ${direction}`.execute(db),
      )
      if (rows.length === 0) return undefined
      return rows.filter((row): row is MessageRecord => row.id !== null)
    },

    /**
     * Compares what a chat page shows with a conversation; undefined when the user has no such conversation.
     * @param shown see `PageState` in `services/read/page-state.ts`
     */
    async shown(
      userId: string,
      id: string,
      shown: {
        known: Array<{ id: string; unanswered: number }>
        messageId: string | undefined
        text: string
        openedBy: string | undefined
        chatId: string | undefined
        questions: number | undefined
        wish: 'append' | 'edit' | 'regenerate'
      },
    ): Promise<ShownState | undefined> {
      const [row] = await database.named<ShownState>('shown', SHOWN, [
        id,
        userId,
        shown.known.map((message) => message.id),
        shown.known.map((message) => message.unanswered),
        shown.messageId ?? null,
        shown.text,
        shown.openedBy ?? null,
        shown.wish === 'regenerate',
        shown.chatId ?? null,
        shown.questions ?? null,
      ])
      return row
    },
  }
}

export type MessageStore = ReturnType<typeof messageStore>

const SHOWN = `
  with recursive owned as materialized (
    select id, opened_by from conversations where id = $1 and user_id = $2 and not hidden),
  known as materialized (
    select m.id, m.position, m.seq, shown.unanswered
    from unnest($3::uuid[], $4::integer[]) shown (id, unanswered) join messages m on m.id = shown.id
    where m.conversation_id = (select id from owned) and m.status <> 'abandoned'
    order by m.position desc, m.seq desc limit 1),
  after as materialized (
    select m.id, m.position, m.seq from known, messages m
    where m.conversation_id = (select id from owned) and m.role = 'user' and m.status <> 'abandoned'
      and (m.position, m.seq) > ((select position from known), (select seq from known))
    order by m.position, m.seq limit 200),
  heirs as (
    select t.position, t.superseded_by from superseded_messages s join turns t on t.id = s.superseded_by
    where s.id = $5 and s.conversation_id = (select id from owned) and s.role = 'user'
    union all
    select t.position, t.superseded_by from heirs join turns t on t.id = heirs.superseded_by),
  last as materialized (
    select position, run_id, chat_id = $9 as asked from turns where conversation_id = (select id from owned)
      and position is not null and state <> 'abandoned' order by position desc limit 1),
  target as materialized (
    select m.id, m.position, m.text = $6 as same from messages m where m.status <> 'abandoned' and m.role = 'user' and m.id = coalesce(
      (select m.id from messages m where m.id = $5 and m.conversation_id = (select id from owned)),
      (select m.id from heirs join messages m on m.position = heirs.position and m.seq = 0
       where m.conversation_id = (select id from owned) limit 1),
      (select id from after order by position, seq offset (select unanswered from known) limit 1),
      case when not exists (select from known) and (select opened_by from owned) = $7 then (
        select m.id from messages m where m.conversation_id = (select id from owned) and m.position > 0
          and m.role = 'user' and m.status <> 'abandoned' order by m.position limit 1) end,
      case when not exists (select from known) and $10::integer is not null and (select asked from last) then (
        select m.id from messages m where m.conversation_id = (select id from owned) and m.role = 'user'
          and m.status <> 'abandoned' order by m.position, m.seq offset $10 limit 1) end,
      case when not exists (select from known) and $8 then (
        select m.id from messages m where m.conversation_id = (select id from owned)
          and m.position = (select position from last) and m.seq = 0 and m.text = $6) end))
  select known.id as "knownId", target.id as "targetId", target.position as "targetPosition", target.same as "sameText",
    exists (select from superseded_messages s where s.id = any($3) and s.conversation_id = owned.id and s.role = 'assistant')
      as "showsSuperseded",
    coalesce(last.asked, false) as "askedLast",
    (select head.id from messages head where head.conversation_id = owned.id and head.status <> 'abandoned'
     order by head.position desc, head.seq desc limit 1) as "headId",
    coalesce(last.position, 0) as "lastPosition", last.run_id as "lastRunId"
  from owned left join known on true left join target on true left join last on true`
