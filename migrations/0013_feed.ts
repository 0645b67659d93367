import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * The feed: `feed_events` holds what has happened in the last hour, in the order of (`xid`, `id`). `xid` is the number of
 * the transaction that wrote the event. A reader goes no further than the oldest transaction that goes on, so no event
 * appears before one that was read already.
 *
 * Events are written by triggers: instances of the version before write them as well.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table feed_events (
      xid xid8 not null default pg_current_xact_id(),
      id bigint generated always as identity,
      type text not null,
      user_id text not null,
      conversation_id uuid,
      data jsonb not null,
      created_at timestamptz not null default now(),
      primary key (xid, id)
    )`.execute(db)
  await sql`create index feed_events_of_user on feed_events (user_id, xid, id)`.execute(db)
  await createFunctions(db, '0013')
  for (const trigger of TRIGGERS) await sql.raw(`create trigger ${trigger}`).execute(db)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop trigger note_new_run on runs`.execute(db)
  await sql`drop trigger note_run on runs`.execute(db)
  await sql`drop trigger note_question on turns`.execute(db)
  await sql`drop trigger note_answer on messages`.execute(db)
  await sql`drop trigger note_title on conversations`.execute(db)
  await createFunctions(db, '0010', ['restore'])
  await createFunctions(db, '0012', ['delete_conversation'])
  await sql`drop function note_event, note_run, note_question, note_answer, note_title, mark_running`.execute(
    db,
  )
  await sql`drop table feed_events`.execute(db)
}

const TRIGGERS = [
  `note_new_run after insert on runs for each row when (new.deleted_at is null) execute function note_run()`,
  // Without a conversation there is no lock that puts the start of a run before its end.
  `note_run after update of status on runs for each row
    when (old.status is distinct from new.status and new.deleted_at is null
      and (new.status <> 'running' or new.conversation_id is not null))
    execute function note_run()`,
  // A retry answers a question that is in the thread already.
  `note_question after update of run_id on turns for each row
    when (old.run_id is null and new.run_id is not null and new.conversation_id is not null and new.retry_of is null)
    execute function note_question()`,
  // Places begin with 1; the history that a conversation begins with stands at 0. An answer that gets its place back
  // is older than the transaction.
  `note_answer after insert on messages for each row
    when (new.seq = 1 and new.position > 0 and new.created_at = now()::timestamptz(3))
    execute function note_answer()`,
  `note_title after update of title on conversations for each row
    when (old.title is distinct from new.title and not new.hidden) execute function note_title()`,
]
