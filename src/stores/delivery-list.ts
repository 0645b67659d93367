import { type RawBuilder, sql } from 'kysely'
import type { WebhookEvent } from '../webhooks/events.ts'
import type { Database } from './database.ts'
import { CLAIM_SECONDS } from './deliveries.ts'

export type DeliveryStatus = 'pending' | 'delivered' | 'failed'

/** A delivery as its user sees it. */
export interface DeliveryRecord {
  id: string
  userId: string
  /** Name of an endpoint, or the origin of the address that a start has named. */
  target: string
  url: string | null
  event: WebhookEvent
  conversationId: string | null
  runId: string | null
  status: DeliveryStatus
  attempts: number
  dueAt: Date | null
  attemptedAt: Date | null
  responseStatus: number | null
  errorCode: string | null
  createdAt: Date
  finishedAt: Date | null
}

export interface DeliveryFilter {
  runId?: string
  status?: DeliveryStatus
  limit: number
  /** Id of the last delivery of the page before. */
  before?: string
}

export interface DeliveryPage {
  rows: DeliveryRecord[]
  /** The delivery at which the search stopped before the page was full: the next page begins after it. */
  searchedTo?: string
}

const FIELDS = `id, user_id as "userId", target, url, event, conversation_id as "conversationId", run_id as "runId",
  status, attempts, due_at as "dueAt", attempted_at as "attemptedAt", response_status as "responseStatus",
  error_code as "errorCode", created_at as "createdAt", finished_at as "finishedAt"`

/** The most deliveries that one page compares with the status. */
const SEARCHED = 500

/**
 * The deliveries for callers. The user is part of every query. Null stands for all users, for a caller who administers
 * the service.
 */
export function deliveryListStore(database: Database) {
  return {
    /** Newest first. A page costs the same however many deliveries there are; see `run-list.ts`. */
    async list(userId: string | null, filter: DeliveryFilter): Promise<DeliveryPage> {
      const { runId, status, limit, before } = filter
      const searched = status === undefined ? limit : SEARCHED
      const own = userId === null ? sql`true` : sql`user_id = ${userId}`
      const ofRun: RawBuilder<unknown> = runId === undefined ? sql`` : sql`and run_id = ${runId}`
      const older = before === undefined ? sql`` : sql`and id < ${before}::uuid`
      const ofStatus = status === undefined ? sql`` : sql`and status = ${status}`
      const { rows } = await database.page((db) =>
        sql<DeliveryRecord & { last: string | null; searched: number }>`
          with candidates as materialized (
            select id from webhook_deliveries where ${own} ${ofRun} ${older} order by id desc limit ${searched}),
          matching as (
            select * from webhook_deliveries where id = any(array(select id from candidates)) ${ofStatus}
            order by id desc limit ${limit})
          select ${sql.raw(FIELDS)}, extent.last, extent.searched
          from (select min(id::text) as last, count(*)::integer as searched from candidates) extent
          left join matching on true order by id desc`.execute(db),
      )
      const [first] = rows
      const matching = rows
        .filter(({ id }) => id !== null)
        .map(({ last: _last, searched: _searched, ...row }) => row)
      const isFruitless = first?.searched === searched && first.last !== null && matching.length < limit
      return { rows: matching, ...(isFruitless && first.last !== null ? { searchedTo: first.last } : {}) }
    },

    /**
     * Makes a delivery due now, with a new series of attempts. If an instance is sending the delivery, this attempt is the
     * first one of the series. The count of all attempts goes on. The last result stays until the next result is stored.
     * @returns the delivery; undefined when there is none with this id
     */
    async redeliver(userId: string | null, id: string): Promise<DeliveryRecord | undefined> {
      // A claim sets both times; the result of an attempt moves `due_at` alone.
      const isSending = sql`(due_at > now() and due_at = attempted_at + ${CLAIM_SECONDS} * interval '1 second') is true`
      const { rows } = await database.run((db) =>
        sql<DeliveryRecord>`
          update webhook_deliveries set status = 'pending', forced = true,
            attempts_before = attempts - case when ${isSending} then 1 else 0 end,
            due_at = case when ${isSending} then due_at else now() end,
            finished_at = null
          where id = ${id}::uuid and (${userId}::text is null or user_id = ${userId})
          returning ${sql.raw(FIELDS)}`.execute(db),
      )
      return rows[0]
    },
  }
}

export type DeliveryListStore = ReturnType<typeof deliveryListStore>
