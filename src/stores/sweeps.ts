import { sql } from 'kysely'
import type { PublicStatus } from '../engine/run-status.ts'
import type { Database } from './database.ts'
import type { DispatchState } from './turns.ts'

/** A turn whose lease has ended, or that was abandoned. */
export type DueTurn = DispatchState

/** A run about which the sweeper asks the engine. */
export interface DueRun {
  runId: string
  status: PublicStatus
  cancelRequested: boolean
  /** When the engine first said that it does not know the run. */
  missedAt: Date | null
  /** Whether the deadline of the run is over. */
  overdue: boolean
  createdAt: Date
}

/**
 * The statements of the sweeper. A claim pushes `check_at` ahead, so that two instances never process one row at the same
 * time. The rows that a dead instance had claimed become due again by themselves.
 */
export function sweepStore(database: Database) {
  return {
    /** Claims turns without a run, at most `limit`. */
    async claimTurns(limit: number): Promise<DueTurn[]> {
      return database.named<DueTurn>(
        'claim_turns',
        `update turns set check_at = now() + interval '15 seconds'
         where id in (select id from turns where check_at <= now() order by check_at limit $1 for no key update skip locked)
         returning id as "turnId", user_id as "userId", idempotency_key as "idempotencyKey",
           conversation_id as "conversationId", state, run_id as "runId", deleted_at is not null as deleted,
           continues is not null as "isContinuation"`,
        [limit],
      )
    },

    /**
     * Claims runs, at most `limit`. An executing run is due every 8 s, so that an end whose event was lost is stored
     * within 10 s. A queued run is due after ever longer pauses, because the end of the run ahead makes it due.
     * @param overdueOnly claims only runs whose deadline is over, for an instance that cannot ask the engine
     */
    async claimRuns(limit: number, { overdueOnly } = { overdueOnly: false }): Promise<DueRun[]> {
      return database.named<DueRun>(
        'claim_runs',
        `update runs set check_at = case
           when finished_at is not null or deadline_at <= now() or cancel_requested_at is not null
             then now() + interval '10 seconds'
           when status = 'running' then least(deadline_at, now() + interval '8 seconds')
           else least(deadline_at, now() + least(interval '60 seconds',
             greatest(interval '8 seconds', (now() - created_at) / 4))) end
         where id in (
           select id from runs where check_at <= now() and (deadline_at <= now() or not $2)
           order by check_at limit $1 for no key update skip locked)
         returning run_id as "runId", status, cancel_requested_at is not null as "cancelRequested",
           missed_at as "missedAt", deadline_at <= now() as overdue, created_at as "createdAt"`,
        [limit, overdueOnly],
      )
    },

    /** Makes claimed runs that were not processed due again for another instance. */
    async release(runIds: string[]): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = now() where run_id = any(${runIds}::text[]) and check_at is not null`.execute(
          db,
        ),
      )
    },

    /** Makes an unfinished run due after some seconds. */
    async checkIn(runId: string, seconds: number): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = now() + ${seconds} * interval '1 second'
            where run_id = ${runId} and finished_at is null`.execute(db),
      )
    },

    /** Stores that the engine does not know the run, unless that is stored already. Makes the run due in half a minute. */
    async noteMissed(runId: string): Promise<void> {
      await database.run((db) =>
        sql`update runs set missed_at = coalesce(missed_at, now()),
              check_at = case when check_at is not null then least(deadline_at, now() + interval '30 seconds') end
            where run_id = ${runId}`.execute(db),
      )
    },

    /** Stores that the engine knows the run, so that an earlier miss no longer counts. */
    async noteFound(runId: string): Promise<void> {
      await database.run((db) => sql`update runs set missed_at = null where run_id = ${runId}`.execute(db))
    },

    /** Stores that the engine has stopped a run whose end was stored before. The run is never due again. */
    async noteStopped(runId: string): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = null where run_id = ${runId} and finished_at is not null`.execute(db),
      )
    },

    /** How late the sweeper is, and the age of the oldest unfinished run, in seconds. */
    async lag(): Promise<{ sweeperLagSeconds: number; oldestUnfinishedSeconds: number; unfinished: number }> {
      const { rows } = await database.run((db) =>
        sql<{ lag: number; oldest: number; unfinished: number }>`
          select coalesce(extract(epoch from now() - min(check_at)), 0)::float8 as lag,
            coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest, count(*)::integer as unfinished
          from (
            select check_at, created_at from runs where status in ('queued', 'running')
            union all select check_at, created_at from turns where state = 'dispatching') unfinished`.execute(
          db,
        ),
      )
      const row = rows[0]
      return {
        sweeperLagSeconds: Math.max(0, row?.lag ?? 0),
        oldestUnfinishedSeconds: row?.oldest ?? 0,
        unfinished: row?.unfinished ?? 0,
      }
    },
  }
}

export type SweepStore = ReturnType<typeof sweepStore>
