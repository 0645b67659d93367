import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * `turns.chat_id`: the chat of the page that has asked, so that a list that the same page has cut off counts as an edit.
 * `turns.replaced_summary`: the summary that an edit has taken from its conversation, in case the edit is refused.
 *
 * `webhook_receivers`: every receiver of every instance, one row for each pair of settings under which instances know it,
 * so that instances with different settings never take one another's names away. It takes the place of
 * `webhook_endpoints`, which instances of the version before still write: their names count for another hour.
 *
 * `webhook_deliveries.attempts_before`: the attempts before somebody asked for the delivery again.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table turns add column chat_id text, add column replaced_summary jsonb`.execute(db)
  // Turns of other callers are not in the index.
  await sql`create index turns_of_chat on turns (user_id, chat_id, created_at) where chat_id is not null`.execute(
    db,
  )
  await sql`alter table webhook_deliveries add column attempts_before integer not null default 0`.execute(db)
  await sql`
    create table webhook_receivers (
      name text not null,
      settings text not null,
      events text[] not null,
      users text[],
      digest text not null,
      off_at timestamptz,
      seen_at timestamptz not null default now(),
      primary key (name, settings)
    )`.execute(db)
  await sql`
    insert into webhook_receivers (name, settings, events, users, digest, off_at, seen_at)
    select name, 'of the version before', events, users, digest, off_at, now() + interval '1 hour'
    from webhook_endpoints`.execute(db)
  await createFunctions(db, '0014')
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await createFunctions(db, '0010', ['abandon_turn', 'fork_conversation'])
  await createFunctions(db, '0011', ['reserve_budget'])
  await createFunctions(db, '0012', ['adopt_run', 'start_turn', 'write_deliveries'])
  await createFunctions(db, '0013', ['restore'])
  await sql`drop table webhook_receivers`.execute(db)
  await sql`alter table webhook_deliveries drop column attempts_before`.execute(db)
  await sql`alter table turns drop column chat_id, drop column replaced_summary`.execute(db)
}
