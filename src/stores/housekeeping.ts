import { sql } from 'kysely'
import type { Database } from './database.ts'

/** For how many days usage can be reported. */
const USAGE_DAYS = 400
/** For how many days a run may settle its reservation. It is longer than a run can be queued and execute. */
const BUDGET_DAYS = 30

/** The upkeep's statements for the whole database, in batches that are small enough to block no request. */
export function housekeepingStore(database: Database) {
  return {
    /** Deletes turns whose runs ended before the retention, with their keys. @returns how many turns were deleted */
    async expireRuns(retentionDays: number, limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql<{ count: number }>`
          with old as (
            select id, turn_id, user_id, agent, metadata from runs
            where finished_at < now() - ${retentionDays}::integer * interval '1 day'
            order by finished_at limit ${limit} for update skip locked),
          labels as (
            delete from run_labels where (label, id) in (
              select label, id from old, unnest(labels_of_run(user_id, agent, metadata)) label)),
          deleted as (delete from turns where id in (select turn_id from old) returning id)
          select count(*)::integer as count from deleted`.execute(db),
      )
      return rows[0]?.count ?? 0
    },

    /**
     * Deletes conversations without activity for `retentionDays`, except those with an unfinished turn.
     * @returns how many conversations were deleted
     */
    async expireConversations(retentionDays: number, limit: number, batch: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql<{ count: number }>`
          select count(delete_conversation(user_id, id, ${batch}))::integer as count from (
            select id, user_id from conversations c
            where last_activity_at at time zone 'UTC' < (now() - ${retentionDays}::integer * interval '1 day') at time zone 'UTC'
              and not hidden
              and not exists (select from runs where conversation_id = c.id and status in ('queued', 'running'))
              and not exists (select from turns where conversation_id = c.id and state = 'dispatching')
            order by last_activity_at at time zone 'UTC' limit ${limit} for update skip locked) old`.execute(
          db,
        ),
      )
      return rows[0]?.count ?? 0
    },

    /** Deletes the oldest days of usage reports. @returns how many rows were deleted */
    async expireUsage(limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql<{ count: number }>`
          with deleted as (
            delete from usage_days where (user_id, day, agent, model) in (
              select user_id, day, agent, model from usage_days
              where day < (now() at time zone 'UTC')::date - ${USAGE_DAYS}::integer
              order by day limit ${limit} for update skip locked)
            returning 1)
          select count(*)::integer as count from deleted`.execute(db),
      )
      return rows[0]?.count ?? 0
    },

    /** Deletes the oldest days of budgets. @returns how many rows were deleted */
    async expireBudgets(limit: number): Promise<number> {
      const { rows } = await database.run((db) =>
        sql<{ count: number }>`
          with deleted as (
            delete from budget_days where (scope, name, day) in (
              select scope, name, day from budget_days
              where day < (now() at time zone 'UTC')::date - ${BUDGET_DAYS}::integer
              order by day limit ${limit} for update skip locked)
            returning 1)
          select count(*)::integer as count from deleted`.execute(db),
      )
      return rows[0]?.count ?? 0
    },

    /** Removes the next batch of the contents of deleted conversations. @returns whether there is more to do */
    async emptyDeleted(batch: number): Promise<boolean> {
      const { rows } = await database.run((db) =>
        sql<{ done: boolean }>`
          select empty_conversation(conversation_id, ${batch}) as done from (
            select conversation_id from deletions order by requested_at limit 1 for update skip locked) next`.execute(
          db,
        ),
      )
      return rows.length > 0
    },

    /**
     * Claims the next search for runs without a row: for one instance every few seconds, or at once when `now` is true.
     * @returns the moment up to which all runs are known to have their rows; undefined when another instance searches
     */
    async claimSearch(seconds: number, now: boolean): Promise<Date | undefined> {
      const { rows } = await database.run((db) =>
        sql<{ adoptedTo: Date }>`
          update service_identity set adoption_claimed_at = now()
          where ${now} or adoption_claimed_at is null
            or adoption_claimed_at < now() - ${seconds} * interval '1 second'
          returning adopted_to as "adoptedTo"`.execute(db),
      )
      return rows[0]?.adoptedTo
    },

    /** Stores that all runs created before this moment have their rows. */
    async noteSearched(to: Date): Promise<void> {
      await database.run((db) =>
        sql`update service_identity set adopted_to = greatest(adopted_to, ${to}::timestamptz)`.execute(db),
      )
    },

    /** Which of the engine's runs have no row. */
    async unknownRuns(runIds: string[]): Promise<string[]> {
      if (runIds.length === 0) return []
      const { rows } = await database.run((db) =>
        sql<{ runId: string }>`
          select id as "runId" from unnest(${runIds}::text[]) as r (id)
          where not exists (select from runs where runs.run_id = r.id)`.execute(db),
      )
      return rows.map((row) => row.runId)
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

export type HousekeepingStore = ReturnType<typeof housekeepingStore>
