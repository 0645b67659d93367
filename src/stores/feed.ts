import { sql } from 'kysely'
import type { FeedPosition } from '../feed/position.ts'
import type { Database } from './database.ts'

/** The types of events in the feed. `run.action_required` follows `run.completed` when the turn waits. */
export const FEED_EVENTS = [
  'run.queued',
  'run.started',
  'run.completed',
  'run.failed',
  'run.cancelled',
  'run.action_required',
  'message.stored',
  'conversation.created',
  'conversation.updated',
  'conversation.deleted',
] as const
export type FeedEventType = (typeof FEED_EVENTS)[number]

export interface FeedEvent {
  position: FeedPosition
  type: FeedEventType
  userId: string
  conversationId: string | null
  /** Ids, and the role of a message. */
  data: Record<string, string>
}

export interface FeedRead {
  events: FeedEvent[]
  /** All events of transactions before this one can be read. */
  horizon: bigint
  /** For how many seconds the oldest event has been waiting behind the horizon; 0 when no event waits. */
  heldSeconds: number
}

type Row = { horizon: string; held: number } & (
  | {
      xid: string
      id: string
      at: Date
      type: FeedEventType
      userId: string
      conversationId: string
      data: object
    }
  | { xid: null }
)

/** Minutes for which events are kept: longer than an id of the feed is valid, so that a valid id misses no event. */
const KEPT_MINUTES = 75

/** The events of the feed. */
export function feedStore(database: Database) {
  return {
    /**
     * Reads the events of these users after a position, in the order of the feed, up to the oldest unfinished transaction.
     * The events of that transaction sort behind all events that are read.
     */
    async read(after: FeedPosition, userIds: string[], limit: number): Promise<FeedRead> {
      const rows = await database.named<Row>('read_feed', READ, [
        String(after.xid),
        String(after.id),
        userIds,
        limit,
      ])
      const [first] = rows
      return {
        horizon: BigInt(first?.horizon ?? 0),
        heldSeconds: first?.held ?? 0,
        events: rows.flatMap((row) => (row.xid === null ? [] : [eventOf(row)])),
      }
    },

    /** Deletes old events, the oldest first. @returns how many were deleted */
    async expire(limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        // Rows are selected by `ctid`, which stays the same while they are locked. By key, Postgres would scan the whole table.
        sql`delete from feed_events where ctid = any(array(
              select ctid from (
                select ctid, created_at from feed_events order by xid, id limit ${limit} for update skip locked) oldest
              where created_at < now() - ${KEPT_MINUTES}::integer * interval '1 minute'))
            returning id`.execute(db),
      )
      return rows.length
    },
  }
}

export type FeedStore = ReturnType<typeof feedStore>

function eventOf(row: Exclude<Row, { xid: null }>): FeedEvent {
  const { xid, id, at, type, userId, conversationId, data } = row
  return {
    position: { xid: BigInt(xid), id: BigInt(id), at: at.getTime() },
    type,
    userId,
    conversationId,
    data: data as Record<string, string>,
  }
}

const READ = `
  select now_at.horizon::text, coalesce(extract(epoch from now() - (
      select created_at from feed_events where xid >= now_at.horizon order by xid, id limit 1)), 0)::float8 as held,
    event.xid::text, event.id::text, event.created_at as at, event.type, event.user_id as "userId",
    event.conversation_id as "conversationId", event.data
  from (select pg_snapshot_xmin(pg_current_snapshot()) as horizon) now_at
  left join lateral (
    select * from feed_events
    where (xid, id) > ($1::xid8, $2::bigint) and xid < now_at.horizon and user_id = any($3::text[])
    order by xid, id limit $4) event on true
  order by event.xid, event.id`
