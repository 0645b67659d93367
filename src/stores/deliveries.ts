import { sql } from 'kysely'
import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'
import type { WebhookEvent } from '../webhooks/events.ts'
import type { PendingAction } from './actions.ts'
import type { Database } from './database.ts'
import { PENDING } from './runs.ts'
import type { Metadata, RunFacts } from './schema.ts'

/** A delivery that this instance has claimed, with the present row of its run. */
export interface ClaimedDelivery {
  id: string
  /** Name of an endpoint, or the origin of the address that a start has named. */
  target: string
  /** The address that the start has named; null for an endpoint of the configuration. */
  url: string | null
  event: WebhookEvent
  userId: string
  conversationId: string | null
  runId: string | null
  /** Number of attempts so far, this one included. */
  attempts: number
  /** Number of attempts before a caller asked to send the delivery again. */
  attemptsBefore: number
  /** Whether a caller has asked to send this delivery again. It is then also sent to an endpoint that is switched off. */
  forced: boolean
  /** Whether the endpoint is switched off at the address that this instance knows. */
  isOff: boolean
  createdAt: Date
  /** Null when the event is not about a run, or when the run has expired. */
  run: DeliveredRun | null
}

/** A run as a delivery reports it. Contents that were deleted since are absent. */
export interface DeliveredRun {
  agent: string
  status: PublicStatus
  errorCode: string | null
  error: string | null
  usage: TurnUsage | null
  facts: RunFacts | null
  metadata: Metadata
  finishedAt: string | null
  /** The calls for which the run waits; null when it waits for none. */
  pendingActions: PendingAction[] | null
  /** Read for receivers that want contents only. */
  output: TurnMessage | null
}

/** The result of an attempt. Without `dueInSeconds` there is no further attempt. */
export interface DeliveryResult {
  status: 'pending' | 'delivered' | 'failed'
  responseStatus: number | null
  errorCode: string | null
  dueInSeconds: number | null
}

export interface DeliveryLag {
  /** Seconds since the oldest due delivery became due. */
  overdueSeconds: number
  /** Names of the endpoints that have answered 410. */
  off: string[]
}

/** An endpoint of the configuration without its address, which may hold a secret and is not stored. */
export interface EndpointAddress {
  name: string
  /** A digest of the address. */
  digest: string
}

/** A receiver of this instance: an endpoint, or an origin that starts may name. An origin has no list of events. */
export interface NamedReceiver extends EndpointAddress {
  /** A digest of the settings under which this instance knows the receiver. */
  settings: string
  events: readonly WebhookEvent[]
  users: readonly string[] | null
}

/** A receiver, and the number of deliveries that may be claimed for it. */
export interface Room {
  target: string
  digest: string
  room: number
  contents: boolean
}

/** Seconds until a claimed delivery is due again. An attempt and the storing of its result take less. */
export const CLAIM_SECONDS = 30
/** A receiver is removed when no instance has named it for so long. Every instance names its receivers once a minute. */
const NAMED_SECONDS = 180

/**
 * The deliveries for the deliverer. A claim pushes `due_at` ahead, so that two instances never send one delivery at the
 * same time. The deliveries that a dead instance had claimed become due again.
 */
export function deliveryStore(database: Database) {
  return {
    /**
     * Stores that this instance knows these receivers. A receiver, or one of its settings, is removed when no instance has
     * named it for some minutes.
     * @returns the names of the receivers that were added, changed or removed
     */
    async nameReceivers(receivers: NamedReceiver[]): Promise<string[]> {
      const { rows } = await database.run((db) =>
        sql<{ name: string }>`with given as materialized (
              select * from jsonb_to_recordset(${JSON.stringify(receivers)}::jsonb)
                as receiver (name text, settings text, events text[], users text[], digest text)),
            removed as (
              delete from webhook_receivers where seen_at < now() - ${NAMED_SECONDS} * interval '1 second'
                and (name, settings) not in (select name, settings from given) returning name),
            named as (
              insert into webhook_receivers (name, settings, events, users, digest, off_at)
              select *, (select max(off_at) from webhook_receivers r where r.name = given.name and r.digest = given.digest)
              from given on conflict (name, settings) do update set seen_at = now())
            select name from removed
            union
            select name from given where not exists (
              select from webhook_receivers r where r.name = given.name and r.settings = given.settings)
            order by name`.execute(db),
      )
      return rows.map(({ name }) => name)
    },

    /** Claims due deliveries to these receivers. Of the deliveries of one run, a receiver gets the oldest one first. */
    async claim(receivers: Room[]): Promise<ClaimedDelivery[]> {
      return database.named<ClaimedDelivery>('claim_deliveries', CLAIM, [
        receivers.map(({ target }) => target),
        receivers.map(({ room }) => room),
        receivers.filter(({ contents }) => contents).map(({ target }) => target),
        CLAIM_SECONDS,
        receivers.map(({ digest }) => digest),
      ])
    },

    /** Stores the result of an attempt, unless the delivery was claimed again meanwhile. */
    async finish({ id, attempts }: ClaimedDelivery, result: DeliveryResult): Promise<void> {
      await database.named(
        'finish_delivery',
        `update webhook_deliveries set status = $3, response_status = $4, error_code = $5,
           due_at = now() + $6 * interval '1 second', finished_at = case when $3 <> 'pending' then now() end
         where id = $1 and attempts = $2 and status = 'pending'`,
        [id, attempts, result.status, result.responseStatus, result.errorCode, result.dueInSeconds],
      )
    },

    /** Switches an endpoint off or on, if it still has this address. */
    async switchEndpoint({ name, digest }: EndpointAddress, isOff: boolean): Promise<void> {
      await database.run((db) =>
        sql`update webhook_receivers set off_at = case when ${isOff} then coalesce(off_at, now()) end
            where name = ${name} and digest = ${digest}`.execute(db),
      )
    },

    /** Ends deliveries that no instance has claimed for an hour, because no instance names their receiver any more. */
    async failUnclaimed(limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql`update webhook_deliveries set status = 'failed', error_code = 'receiver_unknown', due_at = null, finished_at = now()
            where id = any(array(
              select id from (
                select id, target from webhook_deliveries where due_at < now() - interval '1 hour'
                order by due_at limit ${limit} for no key update skip locked) late
              where not exists (select from webhook_receivers where name = target)))
            returning id`.execute(db),
      )
      return rows.length
    },

    /** The age of the oldest due delivery, and the endpoints that are switched off. */
    async lag(): Promise<DeliveryLag> {
      const { rows } = await database.run((db) =>
        sql<DeliveryLag>`
          select greatest(0, coalesce(extract(epoch from now() - min(due_at)), 0))::float8 as "overdueSeconds",
            array(select name from webhook_receivers group by name having bool_and(off_at is not null) order by name) as "off"
          from webhook_deliveries where due_at is not null`.execute(db),
      )
      return rows[0] ?? { overdueSeconds: 0, off: [] }
    },

    /** Deletes deliveries older than the retention, the oldest first. @returns how many were read and how many were deleted */
    async expire(retentionDays: number, limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql`delete from webhook_deliveries where id = any(array(
              select id from (
                select id, created_at from webhook_deliveries order by id limit ${limit} for update skip locked) oldest
              where created_at < now() - ${retentionDays}::integer * interval '1 day'))
            returning id`.execute(db),
      )
      return rows.length
    },
  }
}

export type DeliveryStore = ReturnType<typeof deliveryStore>

const CLAIM = `
  with due as materialized (
    select d.id from unnest($1::text[], $2::integer[]) receiver (target, room), lateral (
      select id from webhook_deliveries w
      where w.target = receiver.target and w.due_at <= now() and not exists (
        select from webhook_deliveries earlier
        where earlier.run_id = w.run_id and earlier.id < w.id and earlier.target = w.target and earlier.due_at is not null)
      order by w.due_at limit receiver.room for no key update of w skip locked) d),
  claimed as (
    update webhook_deliveries set due_at = now() + $4 * interval '1 second', attempts = attempts + 1, attempted_at = now()
    where id = any(array(select id from due)) returning *)
  select claimed.id, claimed.target, claimed.url, claimed.event, claimed.user_id as "userId",
    claimed.conversation_id as "conversationId", claimed.run_id as "runId", claimed.attempts,
    claimed.attempts_before as "attemptsBefore", claimed.forced,
    claimed.created_at as "createdAt",
    exists (
      select from webhook_receivers known join unnest($1::text[], $5::text[]) own (name, digest) using (name, digest)
      where known.name = claimed.target and known.off_at is not null) as "isOff",
    (select jsonb_build_object('agent', agent, 'status', status, 'errorCode', error_code, 'error', error, 'usage', usage,
        'facts', facts, 'finishedAt', finished_at, 'metadata', case when shown then metadata else '{}' end,
        'pendingActions', case when shown then ${PENDING} end,
        'output', case when shown and claimed.target = any($3::text[]) then output end)
      from (
        select *, deleted_at is null and not exists (
          select from deletions where deletions.conversation_id = runs.conversation_id) as shown
        from runs where run_id = claimed.run_id) runs) as run
  from claimed order by claimed.id`
