import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * Budgets of tokens by day (UTC).
 *
 * `budget_days`: what the runs of a user, or of an actor, have used of a day, and what is reserved for unfinished ones.
 * `reservation` of a turn and of its run: the tokens, the day and the names whose rows hold them; null without a budget.
 *
 * Instances of the version before go on working: their runs count towards no budget.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table turns add column reservation jsonb`.execute(db)
  await sql`alter table runs add column reservation jsonb`.execute(db)
  await sql`
    create table budget_days (
      scope text not null check (scope in ('user', 'actor')),
      name text not null,
      day date not null,
      reserved bigint not null default 0,
      used bigint not null default 0,
      primary key (scope, name, day)
    )`.execute(db)
  await sql`create index budget_days_by_age on budget_days (day)`.execute(db)
  await createFunctions(db, '0011')
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop function reserve_budget, settle_budget`.execute(db)
  await sql`drop table budget_days`.execute(db)
  await sql`alter table turns drop column reservation`.execute(db)
  await sql`alter table runs drop column reservation`.execute(db)
  await createFunctions(db, '0010', ['start_turn', 'remove_turn', 'record_run', 'finalize_run'])
}
