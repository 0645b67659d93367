import { type Kysely, sql } from 'kysely'

/**
 * Tables of conversations, runs (= turns) and messages.
 *
 * Times have the precision of a JavaScript date, so that a keyset cursor loses nothing. Runs and messages are
 * never ordered by time: runs by id (uuid v7), messages by (position, seq).
 *
 * `runs.status` has two values that callers never see: `dispatching` (written, not yet known to the engine)
 * and `abandoned` (the engine's answer never came; without messages until somebody revives it).
 *
 * `service_identity.adopted_to`: runs of the engine created before that are known to have their rows.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table service_identity (
      singleton boolean primary key default true check (singleton),
      id uuid not null,
      adoption_claimed_at timestamptz(3),
      adopted_to timestamptz(3) not null default now()
    )`.execute(db)

  await sql`
    create table conversations (
      id uuid primary key,
      user_id text not null,
      title text not null,
      metadata jsonb not null default '{}',
      next_position integer not null default 1,
      created_at timestamptz(3) not null default now(),
      updated_at timestamptz(3) not null default now(),
      last_activity_at timestamptz(3) not null default now()
    )`.execute(db)
  await sql`create index conversations_by_activity on conversations (user_id, last_activity_at desc, id desc)`.execute(
    db,
  )

  await sql`
    create table runs (
      id uuid primary key,
      run_id text unique,
      conversation_id uuid references conversations on delete set null,
      user_id text not null,
      actor text,
      status text not null check (status in
        ('dispatching', 'abandoned', 'queued', 'running', 'completed', 'failed', 'cancelled')),
      position integer,
      input jsonb,
      output jsonb,
      error_code text,
      error text,
      usage jsonb,
      metadata jsonb not null default '{}',
      idempotency_key text,
      request_hash text,
      dispatch_attempt integer not null default 0,
      cancel_requested_at timestamptz(3),
      missed_at timestamptz(3),
      open_approvals integer not null default 0,
      frame_count integer,
      truncated boolean not null default false,
      check_at timestamptz(3),
      deadline_at timestamptz(3) not null,
      deleted_at timestamptz(3),
      created_at timestamptz(3) not null default now(),
      started_at timestamptz(3),
      finished_at timestamptz(3),
      unique (user_id, idempotency_key)
    )`.execute(db)
  await sql`create index runs_unfinished on runs (check_at)
    where status in ('dispatching', 'abandoned', 'queued', 'running')`.execute(db)
  await sql`create index runs_unfinished_of_conversation on runs (conversation_id, position)
    where status in ('dispatching', 'queued', 'running')`.execute(db)
  await sql`create index runs_by_user on runs (user_id, id desc)`.execute(db)
  await sql`create index runs_by_conversation on runs (conversation_id, id desc)`.execute(db)
  await sql`create index runs_by_metadata on runs using gin (metadata jsonb_path_ops)`.execute(db)
  await sql`create index runs_finished on runs (finished_at) where finished_at is not null`.execute(db)

  await sql`
    create table messages (
      id uuid primary key,
      conversation_id uuid not null references conversations on delete cascade,
      run_id uuid,
      position integer not null,
      seq integer not null,
      role text not null check (role in ('user', 'assistant')),
      text text not null,
      parts jsonb not null,
      status text not null default 'complete' check (status in ('complete', 'cancelled', 'failed')),
      created_at timestamptz(3) not null default now(),
      unique (conversation_id, position, seq)
    )`.execute(db)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table messages, runs, conversations, service_identity`.execute(db)
}
