import { sql } from 'kysely'
import type { Database } from './database.ts'
import type { StoredStatus } from './schema.ts'

/** A run that is due for a look at the engine. */
export interface DueRun {
  turnId: string
  runId: string | null
  status: StoredStatus
  idempotencyKey: string | null
  cancelRequested: boolean
  missedAt: Date | null
  overdue: boolean
  createdAt: Date
}

/** What the sweeper and the observer need beyond single turns. */
export function sweepStore(database: Database) {
  return {
    /**
     * Claims due runs in one short statement: whoever claims a row pushes its `check_at` ahead, so several
     * instances never look at the same row at once, and a claim that dies is due again by itself. No row is
     * looked at later than its deadline; abandoned ones ever more rarely, and not after it.
     * @param overdueOnly leaves the others to an instance that can ask the engine
     */
    async claim(limit: number, { overdueOnly } = { overdueOnly: false }): Promise<DueRun[]> {
      const { rows } = await database.run((db) =>
        sql<DueRun>`
          update runs set check_at = case
            when status = 'abandoned' then
              case when deadline_at > now() then now() + greatest(interval '15 seconds', (now() - created_at) / 2) end
            when status = 'dispatching' then now() + interval '15 seconds'
            when deadline_at <= now() or cancel_requested_at is not null then now() + interval '10 seconds'
            else least(deadline_at, now() + interval '60 seconds') end
          where id in (
            select id from runs
            where status in ('dispatching', 'abandoned', 'queued', 'running') and check_at <= now()
              and (deadline_at <= now() or not ${overdueOnly}::boolean)
            order by check_at limit ${limit} for no key update skip locked)
          returning id as "turnId", run_id as "runId", status, idempotency_key as "idempotencyKey",
            cancel_requested_at is not null as "cancelRequested", missed_at as "missedAt",
            deadline_at <= now() as overdue, created_at as "createdAt"`.execute(db),
      )
      return rows
    },

    /** Claimed and not looked at: another instance may have better luck. */
    async giveBack(turnIds: string[]): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = now() where id = any(${turnIds}::uuid[]) and check_at is not null`.execute(
          db,
        ),
      )
    },

    /** All unfinished runs become due: after a subscription broke, events may have been missed. */
    async checkAllNow(): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = now() where status in ('queued', 'running') and check_at > now()`.execute(
          db,
        ),
      )
    },

    /** The next sweep looks at the turn, or the first one after some seconds. */
    async checkSoon(turnId: string, seconds = 0): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = now() + ${seconds} * interval '1 second' where id = ${turnId}`.execute(
          db,
        ),
      )
    },

    /** The same for the turn that has the run, unless it has ended. */
    async checkRun(runId: string): Promise<void> {
      await database.run((db) =>
        sql`update runs set check_at = now() where run_id = ${runId} and status in ('queued', 'running')`.execute(
          db,
        ),
      )
    },

    async noteMissed(turnId: string): Promise<void> {
      await database.run((db) =>
        sql`update runs set missed_at = coalesce(missed_at, now()) where id = ${turnId}`.execute(db),
      )
    },

    /** The engine knows the run after all: misses only count in a row. */
    async noteFound(turnId: string): Promise<void> {
      await database.run((db) => sql`update runs set missed_at = null where id = ${turnId}`.execute(db))
    },

    /**
     * Before runs of an abandoned turn are cancelled: its next dispatch must not find them by its key, and their
     * ends are not the turn's.
     * @returns false when somebody has revived the turn
     */
    async giveUp(turnId: string, runIds: string[]): Promise<boolean> {
      const { rows } = await database.run((db) =>
        sql`update runs set dispatch_attempt = dispatch_attempt + 1, given_up_runs = given_up_runs || ${runIds}::text[]
            where id = ${turnId} and status = 'abandoned' returning id`.execute(db),
      )
      return rows.length > 0
    },

    /** A run that was given up had ended by itself all the same: it is the turn's. */
    async takeBack(turnId: string, runId: string): Promise<void> {
      await database.run((db) =>
        sql`update runs set given_up_runs = array_remove(given_up_runs, ${runId}) where id = ${turnId}`.execute(
          db,
        ),
      )
    },

    /** Which of the engine's runs no row knows, by id or by turn. */
    async unknown(runs: Array<{ runId: string; turnId: string }>): Promise<string[]> {
      if (runs.length === 0) return []
      const { rows } = await database.run((db) =>
        sql<{ runId: string }>`
          select r.run_id as "runId" from unnest(${runs.map((run) => run.runId)}::text[], ${runs.map((run) => run.turnId)}::uuid[]) as r (run_id, turn_id)
          where not exists (select from runs where runs.run_id = r.run_id or runs.id = r.turn_id)`.execute(
          db,
        ),
      )
      return rows.map((row) => row.runId)
    },

    /** How far behind the sweeper is, and the age of the oldest unfinished run, in seconds. */
    async lag(): Promise<{ sweeperLagSeconds: number; oldestUnfinishedSeconds: number; unfinished: number }> {
      const { rows } = await database.run((db) =>
        sql<{ lag: number; oldest: number; unfinished: number }>`
          select coalesce(extract(epoch from now() - min(check_at)), 0)::float8 as lag,
            coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest, count(*)::integer as unfinished
          from runs where status in ('dispatching', 'queued', 'running')`.execute(db),
      )
      const row = rows[0]
      return {
        sweeperLagSeconds: Math.max(0, row?.lag ?? 0),
        oldestUnfinishedSeconds: row?.oldest ?? 0,
        unfinished: row?.unfinished ?? 0,
      }
    },

    /** Deletes a small batch of what has outlived the retention. @returns how many rows went */
    async expire(retentionDays: number, limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql<{ count: number }>`
          with gone as (
            delete from runs where id in (
              select id from runs where finished_at < now() - ${retentionDays}::integer * interval '1 day'
                or (status = 'abandoned' and created_at < now() - ${retentionDays}::integer * interval '1 day')
              limit ${limit} for update skip locked)
            returning id)
          select count(*)::integer as count from gone`.execute(db),
      )
      return rows[0]?.count ?? 0
    },

    /**
     * Takes the next look for runs without a row: one instance a minute, or at once when `now` is true.
     * @returns the moment up to which all runs are known to have their rows; undefined when it is not our turn
     */
    async claimAdoption(now: boolean): Promise<Date | undefined> {
      const { rows } = await database.run((db) =>
        sql<{ adoptedTo: Date }>`
          update service_identity set adoption_claimed_at = now()
          where ${now} or adoption_claimed_at is null or adoption_claimed_at < now() - interval '45 seconds'
          returning adopted_to as "adoptedTo"`.execute(db),
      )
      return rows[0]?.adoptedTo
    },

    async noteAdopted(to: Date): Promise<void> {
      await database.run((db) =>
        sql`update service_identity set adopted_to = greatest(adopted_to, ${to}::timestamptz)`.execute(db),
      )
    },

    /** The id of this database: runs in a shared Trigger.dev environment are tagged with it. */
    async identity(candidate: string): Promise<string> {
      const { rows } = await database.run((db) =>
        sql<{ id: string }>`
          insert into service_identity (id) values (${candidate})
          on conflict (singleton) do update set singleton = true returning id`.execute(db),
      )
      return rows[0]?.id ?? candidate
    },
  }
}

export type SweepStore = ReturnType<typeof sweepStore>
