import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'

/**
 * A turn and its runs become two tables.
 *
 * `turns`: the place in the conversation, the question, the idempotency key and the lease of the dispatch. `state` is
 * `dispatching` (its start has the lease until `check_at`), `abandoned` (its start ended without an answer of the
 * engine; hidden) or `started` (`run_id` names its newest run).
 *
 * `runs`: one run of the engine with its end and its answer. A run always has the engine's id, and its status is what
 * callers see. What lists select by stands in the run's own row.
 *
 * `run_labels`: the pairs of metadata by which runs are listed, in the order of the lists. `deletions`: conversations
 * that nothing shows any more and whose contents are still being removed.
 *
 * The functions are frozen copies of `src/stores/sql/` in `migrations/sql/0006/`. Instances of an older version cannot
 * work on the new tables: stop them before this migration.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table turns (
      id uuid primary key,
      conversation_id uuid,
      user_id text not null,
      actor text,
      state text not null check (state in ('dispatching', 'abandoned', 'started')),
      run_id text,
      position integer,
      input jsonb,
      metadata jsonb not null default '{}',
      idempotency_key text,
      request_hash text,
      cancel_requested_at timestamptz(3),
      check_at timestamptz(3),
      deleted_at timestamptz(3),
      dispatched_at timestamptz(3) not null default now(),
      created_at timestamptz(3) not null default now()
    )`.execute(db)
  await sql`
    insert into turns (id, conversation_id, user_id, actor, state, run_id, position, input, metadata, idempotency_key,
      request_hash, cancel_requested_at, check_at, deleted_at, dispatched_at, created_at)
    select id, case when status <> 'abandoned' then conversation_id end, user_id, actor,
      case when run_id is not null then 'started' when status = 'abandoned' then 'abandoned' else 'dispatching' end,
      run_id, case when status <> 'abandoned' then position end, input - 'conversationId', metadata, idempotency_key,
      request_hash, case when run_id is null then cancel_requested_at end, case when run_id is null then now() end,
      deleted_at, created_at, created_at
    from runs where run_id is not null or status in ('dispatching', 'abandoned')`.execute(db)
  await sql`delete from runs where run_id is null or status = 'abandoned'`.execute(db)
  await sql`update runs set status = 'queued' where status = 'dispatching'`.execute(db)

  await sql`drop function adopt_turn, delete_conversation, withdraw_turn, finalize_turn, start_turn, turn_context`.execute(
    db,
  )
  await sql`alter table runs
    drop constraint runs_conversation_id_fkey, drop constraint runs_status_check, drop column input, drop column actor,
    drop column idempotency_key, drop column request_hash, drop column dispatch_attempt, drop column given_up_runs,
    drop column open_approvals, alter column run_id set not null, add column turn_id uuid`.execute(db)
  await sql`update runs set turn_id = id`.execute(db)
  await sql`alter table runs alter column turn_id set not null,
    add constraint runs_turn_id_fkey foreign key (turn_id) references turns on delete cascade,
    add constraint runs_status_check check (status in ('queued', 'running', 'completed', 'failed', 'cancelled'))`.execute(
    db,
  )
  await sql`drop index runs_unfinished, runs_unfinished_of_conversation, runs_by_user, runs_by_metadata`.execute(
    db,
  )

  await sql`alter table messages rename column run_id to turn_id`.execute(db)
  await sql`alter table messages drop constraint messages_conversation_id_fkey, drop constraint messages_status_check,
    add constraint messages_status_check check (status in ('complete', 'cancelled', 'failed', 'abandoned'))`.execute(
    db,
  )
  await sql`alter table conversations alter column title drop not null, add column hidden boolean not null default false`.execute(
    db,
  )

  // A run that failed without a word has an empty message from now on.
  await sql`insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts, status, created_at)
    select gen_random_uuid(), conversation_id, turn_id, position, 1, 'assistant', '', '[{"type": "step-start"}]', 'failed',
      finished_at
    from runs where status = 'failed' and output is null and conversation_id is not null
    on conflict do nothing`.execute(db)

  await sql`create table deletions (
    conversation_id uuid primary key, requested_at timestamptz(3) not null default now())`.execute(db)
  await sql`create table run_labels (label uuid not null, id uuid not null, primary key (label, id))`.execute(
    db,
  )
  await createFunctions(db, '0006')
  await sql`insert into run_labels (label, id)
    select run_label(user_id, key, value), id from runs, jsonb_each_text(metadata)`.execute(db)

  await sql`create unique index turns_by_key on turns (user_id, idempotency_key) where idempotency_key is not null`.execute(
    db,
  )
  await sql`create unique index turns_by_place on turns (conversation_id, position) where conversation_id is not null`.execute(
    db,
  )
  await sql`create index turns_dispatching on turns (conversation_id, position) where state = 'dispatching'`.execute(
    db,
  )
  await sql`create index turns_due on turns (check_at) where check_at is not null`.execute(db)
  await sql`create index runs_by_turn on runs (turn_id)`.execute(db)
  await sql`create index runs_by_user on runs (user_id, id desc) where deleted_at is null`.execute(db)
  await sql`create index runs_by_status on runs (user_id, status, id desc) where deleted_at is null`.execute(
    db,
  )
  await sql`create index runs_unfinished on runs (conversation_id, position) where status in ('queued', 'running')`.execute(
    db,
  )
  await sql`create index runs_due on runs (check_at) where check_at is not null`.execute(db)
  await sql`create index conversations_by_age on conversations (last_activity_at)`.execute(db)
}

/** Turns back what this migration split. A conversation whose first start has no answer yet goes. */
export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop function adopt_run, delete_conversation, empty_conversation, remove_turn, abandon_turn, finalize_run,
    record_run, start_turn, cancel_unfinished, turn_context, run_label`.execute(db)
  await sql`delete from messages where status = 'abandoned'
    or (status = 'failed' and text = '' and parts = '[{"type": "step-start"}]')
    or conversation_id in (select id from conversations where hidden)
    or conversation_id in (select conversation_id from deletions)`.execute(db)
  await sql`delete from conversations where hidden`.execute(db)
  await sql`update conversations set title = 'New conversation' where title is null`.execute(db)
  await sql`drop index conversations_by_age, runs_by_turn, runs_by_user, runs_by_status, runs_unfinished, runs_due`.execute(
    db,
  )
  await sql`alter table conversations drop column hidden, alter column title set not null`.execute(db)
  await sql`alter table messages rename column turn_id to run_id`.execute(db)
  await sql`alter table messages drop constraint messages_status_check,
    add constraint messages_status_check check (status in ('complete', 'cancelled', 'failed')),
    add constraint messages_conversation_id_fkey foreign key (conversation_id) references conversations on delete cascade`.execute(
    db,
  )
  await sql`alter table runs drop constraint runs_turn_id_fkey, drop constraint runs_status_check,
    alter column run_id drop not null, add column input jsonb, add column actor text, add column idempotency_key text,
    add column request_hash text, add column dispatch_attempt integer not null default 0,
    add column given_up_runs text[] not null default '{}', add column open_approvals integer not null default 0`.execute(
    db,
  )
  await sql`update runs set id = turn_id, actor = turns.actor, idempotency_key = turns.idempotency_key,
      request_hash = turns.request_hash, check_at = case when finished_at is null then now() end,
      input = turns.input || jsonb_build_object('conversationId', turns.conversation_id)
    from turns where turns.id = runs.turn_id`.execute(db)
  await sql`insert into runs (id, turn_id, conversation_id, user_id, actor, status, position, input, metadata,
      idempotency_key, request_hash, cancel_requested_at, check_at, deadline_at, deleted_at, created_at)
    select id, id, case when state = 'dispatching' then conversation_id end, user_id, actor, state, position,
      input || jsonb_build_object('conversationId', conversation_id), metadata, idempotency_key, request_hash,
      cancel_requested_at, now(), now() + interval '1 hour', deleted_at, created_at
    from turns where state <> 'started'`.execute(db)
  await sql`update runs set conversation_id = null where not exists (
    select from conversations where conversations.id = runs.conversation_id)`.execute(db)
  await sql`alter table runs drop column turn_id,
    add constraint runs_status_check check (status in
      ('dispatching', 'abandoned', 'queued', 'running', 'completed', 'failed', 'cancelled')),
    add constraint runs_conversation_id_fkey foreign key (conversation_id) references conversations on delete set null,
    add constraint runs_user_id_idempotency_key_key unique (user_id, idempotency_key)`.execute(db)
  await sql`drop table turns, run_labels, deletions`.execute(db)
  await sql`create index runs_unfinished on runs (check_at)
    where status in ('dispatching', 'abandoned', 'queued', 'running')`.execute(db)
  await sql`create index runs_unfinished_of_conversation on runs (conversation_id, position)
    where status in ('dispatching', 'queued', 'running')`.execute(db)
  await sql`create index runs_by_user on runs (user_id, id desc)`.execute(db)
  await sql`create index runs_by_metadata on runs using gin (metadata jsonb_path_ops)`.execute(db)
  await createFunctions(db, '0005')
}

/** Creates the functions as they were at a migration. */
async function createFunctions(db: Kysely<unknown>, migration: string): Promise<void> {
  await sql`set local check_function_bodies = off`.execute(db)
  const folder = join(import.meta.dirname, 'sql', migration)
  for (const file of readdirSync(folder).sort())
    await sql.raw(readFileSync(join(folder, file), 'utf8')).execute(db)
}
