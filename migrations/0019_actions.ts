import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * Turns that wait for somebody.
 *
 * `actions`: a tool call for which a turn waits, with its frozen arguments and their hash, and what was decided. A call
 * that nobody answers is `pending` for ever: whether it has expired is read from `expires_at`, and is recorded later.
 *
 * `turns.continues` and `turns.continued_by`: a turn goes on as another row of `turns`, which takes its place. `runs` has
 * the ids of the runs.
 *
 * Instances of the version before go on working. They leave out what waits.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table turns add column continues uuid, add column continued_by uuid`.execute(db)
  await sql`alter table runs add column continues text, add column continued_by text`.execute(db)
  await sql`
    create table actions (
      id uuid primary key,
      turn_id uuid not null references turns on delete cascade,
      run_id text not null,
      user_id text not null,
      conversation_id uuid,
      place integer not null,
      kind text not null check (kind in ('approval', 'tool_result')),
      tool_call_id text not null,
      tool_name text not null,
      args jsonb not null,
      args_hash text not null,
      message text,
      status text not null check (status in ('pending', 'approved', 'denied', 'answered', 'expired')),
      reason text,
      output jsonb,
      error text,
      decided_by text,
      decided_actor text,
      request_id text,
      decided_at timestamptz(3),
      created_at timestamptz(3) not null,
      expires_at timestamptz(3) not null
    )`.execute(db)
  await sql`create index actions_of_turn on actions (turn_id)`.execute(db)
  await sql`create index actions_pending on actions (id) where status = 'pending'`.execute(db)
  await sql`create index actions_pending_of_user on actions (user_id, id) where status = 'pending'`.execute(
    db,
  )
  await sql`create index actions_pending_of_conversation on actions (conversation_id) where status = 'pending'`.execute(
    db,
  )
  await sql`create index actions_due on actions (expires_at) where status = 'pending'`.execute(db)
  await createFunctions(db, '0019')
}

/** Turns that have gone on stay as their newest run; the runs before it go. */
export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop function mark_call, continue_turn, deny_actions, deny_pending, decide_action, cancel_actions,
    expire_actions, continuation, hash_of, ask_actions, closed_parts, newest_run`.execute(db)
  await sql`drop table actions`.execute(db)
  await sql`delete from turns where continued_by is not null`.execute(db)
  await sql`alter table runs drop column continues, drop column continued_by`.execute(db)
  await sql`alter table turns drop column continues, drop column continued_by`.execute(db)
  await createFunctions(db, '0006', ['cancel_unfinished'])
  await createFunctions(db, '0011', ['finalize_run'])
  await createFunctions(db, '0018', [
    'empty_conversation',
    'fork_conversation',
    'record_run',
    'remove_turn',
    'start_turn',
  ])
}
