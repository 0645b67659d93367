import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * Webhooks.
 *
 * `webhook_endpoints`: the endpoints of the configuration, without addresses and secrets, so that the transaction of an
 * event knows who wants it. `webhook_deliveries`: one row for each event and receiver; `due_at` is set while the delivery
 * is pending. `turns.webhook`: the address that the start has named.
 *
 * The deliveries about the end of a run are written by a trigger: instances of the version before write them as well.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table turns add column webhook jsonb`.execute(db)
  await sql`
    create table webhook_endpoints (
      name text primary key,
      events text[] not null,
      users text[],
      digest text not null,
      off_at timestamptz
    )`.execute(db)
  await sql`
    create table webhook_deliveries (
      id uuid primary key,
      target text not null,
      url text,
      event text not null,
      user_id text not null,
      conversation_id uuid,
      run_id text,
      status text not null check (status in ('pending', 'delivered', 'failed')),
      attempts integer not null default 0,
      forced boolean not null default false,
      due_at timestamptz,
      attempted_at timestamptz,
      response_status integer,
      error_code text,
      created_at timestamptz not null default now(),
      finished_at timestamptz
    )`.execute(db)
  await sql`create index webhook_deliveries_of_target on webhook_deliveries (target, due_at) where due_at is not null`.execute(
    db,
  )
  await sql`create index webhook_deliveries_due on webhook_deliveries (due_at) where due_at is not null`.execute(
    db,
  )
  await sql`create index webhook_deliveries_of_user on webhook_deliveries (user_id, id)`.execute(db)
  await sql`create index webhook_deliveries_of_run on webhook_deliveries (run_id, id)`.execute(db)
  await createFunctions(db, '0012')
  await sql`
    create trigger deliver_run_end after update of status on runs for each row
    when (old.status in ('queued', 'running') and new.status in ('completed', 'failed', 'cancelled'))
    execute function deliver_run_end()`.execute(db)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop trigger deliver_run_end on runs`.execute(db)
  await sql`drop function deliver_run_end, write_deliveries, time_ordered_uuid`.execute(db)
  await sql`drop table webhook_deliveries, webhook_endpoints`.execute(db)
  await createFunctions(db, '0006', ['adopt_run', 'delete_conversation'])
  await createFunctions(db, '0011', ['start_turn'])
  await sql`alter table turns drop column webhook`.execute(db)
}
