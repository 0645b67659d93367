import { type Kysely, sql } from 'kysely'

/**
 * `runs.given_up_runs`: the engine's runs that the sweeper has cancelled for an abandoned turn. Once a retry has
 * revived the turn, neither their ends nor their beginnings are the turn's.
 *
 * A run that was started while the database was away belongs to its key's row, also when that one was abandoned
 * meanwhile: the caller was told of the run.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table runs add column given_up_runs text[] not null default '{}'`.execute(db)
  await finalizeTurn(
    `(run_id = p_run_id or (run_id is null and (p_run_id is null or p_run_id <> all (given_up_runs))))`,
  ).execute(db)
  await sql`
    create or replace function adopt_turn(p jsonb) returns text language plpgsql as $$
    declare
      v_turn_id uuid := (p->>'turnId')::uuid;
      v_run_id text := p->>'runId';
      v_user_id text := p->>'userId';
      v_key text := p->>'idempotencyKey';
      v_created_at timestamptz := (p->>'createdAt')::timestamptz;
      v_deadline_at timestamptz := v_created_at + (p->>'deadlineSeconds')::integer * interval '1 second';
    begin
      if v_key is not null then
        perform pg_advisory_xact_lock(hashtextextended(jsonb_build_array(v_user_id, v_key)::text, 0));
      end if;
      if exists (select from runs where run_id = v_run_id) then
        return 'known';
      end if;
      -- An abandoned turn has no messages any more; the run that was accepted instead belongs to no conversation.
      update runs set run_id = v_run_id, status = 'queued', cancel_requested_at = null, missed_at = null,
        check_at = now(), deadline_at = greatest(deadline_at, v_deadline_at),
        conversation_id = case when status = 'dispatching' then conversation_id end,
        position = case when status = 'dispatching' then position end
      where run_id is null and status in ('dispatching', 'abandoned')
        and (id = v_turn_id or (user_id = v_user_id and idempotency_key = v_key));
      if found then
        return 'adopted';
      end if;
      insert into runs (id, run_id, user_id, actor, status, input, metadata, idempotency_key, request_hash,
                        check_at, deadline_at, created_at)
      values (v_turn_id, v_run_id, v_user_id, p->>'actor', 'queued', p->'input', p->'metadata',
        v_key, p->>'requestHash', now(), v_deadline_at, v_created_at)
      on conflict do nothing;
      return case when found then 'adopted' else 'superseded' end;
    end $$`.execute(db)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await finalizeTurn('(run_id is null or run_id = p_run_id)').execute(db)
  await sql`
    create or replace function adopt_turn(p jsonb) returns text language plpgsql as $$
      declare
        v_key text := p->>'idempotencyKey';
      begin
        if v_key is not null then
          perform pg_advisory_xact_lock(hashtextextended(jsonb_build_array(p->>'userId', v_key)::text, 0));
        end if;
        insert into runs (id, run_id, user_id, actor, status, input, metadata, idempotency_key, request_hash,
                          check_at, deadline_at, created_at)
        values ((p->>'turnId')::uuid, p->>'runId', p->>'userId', p->>'actor', 'queued', p->'input', p->'metadata',
          v_key, p->>'requestHash', now(),
          (p->>'createdAt')::timestamptz + (p->>'deadlineSeconds')::integer * interval '1 second',
          (p->>'createdAt')::timestamptz)
        on conflict do nothing;
        if found then
          return 'adopted';
        elsif exists (select from runs where run_id = p->>'runId' or id = (p->>'turnId')::uuid) then
          return 'known';
        elsif exists (select from runs where user_id = p->>'userId' and idempotency_key = v_key and run_id is not null) then
          return 'superseded';
        end if;
        -- The key's row has no run yet: its own dispatch finds this one.
        return 'known';
      end $$`.execute(db)
  await sql`alter table runs drop column given_up_runs`.execute(db)
}

/** @param ownRun whether the run whose end is told is the turn's */
const finalizeTurn = (ownRun: string) => sql`
  create or replace function finalize_turn(p_turn_id uuid, p_run_id text, p_status text, p_output jsonb, p_text text,
      p_usage jsonb, p_error_code text, p_error text, p_frame_count integer, p_truncated boolean,
      p_started_at timestamptz, p_finished_at timestamptz)
    returns boolean language plpgsql as $$
    declare
      v_turn_id uuid;
      v_conversation_id uuid;
      v_position integer;
      v_message_id text;
    begin
      select id, conversation_id into v_turn_id, v_conversation_id from runs
      where id = p_turn_id or run_id = p_run_id order by run_id = p_run_id desc nulls last limit 1;
      perform from conversations where id = v_conversation_id for no key update;
      update runs set status = p_status, run_id = coalesce(run_id, p_run_id),
        input = case when deleted_at is null then input end, output = case when deleted_at is null then p_output end,
        usage = p_usage, error_code = p_error_code, error = p_error, frame_count = p_frame_count,
        truncated = p_truncated, started_at = coalesce(started_at, p_started_at),
        finished_at = coalesce(p_finished_at, now()), check_at = null
      where id = v_turn_id and status in ('dispatching', 'queued', 'running') and ${sql.raw(ownRun)}
      returning conversation_id, position, coalesce(p_output->>'id', '') into v_conversation_id, v_position, v_message_id;
      if not found then
        return false;
      end if;
      if p_output is not null and v_conversation_id is not null then
        if v_message_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
          select input->>'assistantMessageId' into v_message_id from runs where id = v_turn_id;
        end if;
        insert into messages (id, conversation_id, run_id, position, seq, role, text, parts, status)
        values (v_message_id::uuid, v_conversation_id, v_turn_id, v_position, 1, 'assistant', p_text,
          p_output->'parts', case p_status when 'completed' then 'complete' else p_status end);
      end if;
      update conversations set last_activity_at = greatest(last_activity_at, now()), updated_at = now()
      where id = v_conversation_id;
      return true;
    end $$`
