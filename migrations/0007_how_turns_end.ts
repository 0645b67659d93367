import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * What is known about a run beside its answer.
 *
 * `runs.facts`: why the turn is complete, its model calls, its model and its times. `messages.finish_reason`: the
 * reason once more, for pages of messages. `runs.actor`: who called for the user. `usage_days`: what the ended runs of a user have used, by day (UTC), agent and model; `model` is empty where no
 * model was called. The rows are counted up in the transaction that ends a run, so that they add up to the runs.
 *
 * Instances of the version before go on working: they end runs without facts.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table runs add column actor text, add column facts jsonb`.execute(db)
  await sql`alter table messages add column finish_reason text`.execute(db)
  await sql`update runs set actor = turns.actor from turns
    where turns.id = runs.turn_id and turns.actor is not null`.execute(db)
  await sql`update runs set usage = usage - 'model', facts = jsonb_build_object('model', usage->'model')
    where usage ? 'model'`.execute(db)
  await sql`
    create table usage_days (
      user_id text not null,
      day date not null,
      agent text not null,
      model text not null,
      completed integer not null,
      failed integer not null,
      cancelled integer not null,
      input_tokens bigint not null,
      output_tokens bigint not null,
      total_tokens bigint not null,
      cached_input_tokens bigint not null,
      reasoning_tokens bigint not null,
      estimated integer not null,
      primary key (user_id, day, agent, model)
    )`.execute(db)
  await sql`create index usage_days_by_age on usage_days (day)`.execute(db)
  await sql`
    insert into usage_days
    select user_id, (finished_at at time zone 'UTC')::date, 'default', coalesce(facts->>'model', ''),
      count(*) filter (where status = 'completed'), count(*) filter (where status = 'failed'),
      count(*) filter (where status = 'cancelled'), coalesce(sum((usage->>'inputTokens')::bigint), 0),
      coalesce(sum((usage->>'outputTokens')::bigint), 0), coalesce(sum((usage->>'totalTokens')::bigint), 0), 0, 0,
      count(*) filter (where (usage->>'estimated')::boolean)
    from runs where finished_at is not null group by 1, 2, 3, 4`.execute(db)
  await sql`drop function finalize_run`.execute(db)
  await createFunctions(db, '0007')
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop function finalize_run, count_usage`.execute(db)
  await sql`drop table usage_days`.execute(db)
  await sql`update runs set usage = usage || jsonb_build_object('model', facts->'model')
    where usage is not null and facts ? 'model'`.execute(db)
  await sql`alter table messages drop column finish_reason`.execute(db)
  await sql`alter table runs drop column facts, drop column actor`.execute(db)
  await createFunctions(db, '0006', ['finalize_run', 'record_run'])
}
