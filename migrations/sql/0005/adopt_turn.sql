CREATE OR REPLACE FUNCTION public.adopt_turn(p jsonb)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
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
      update runs set run_id = v_run_id, status = 'queued', cancel_requested_at = case when status = 'dispatching' then cancel_requested_at end, missed_at = null,
        deleted_at = case when status = 'dispatching' then deleted_at end, input = coalesce(input, p->'input'),
        metadata = case when status = 'dispatching' then metadata else p->'metadata' end,
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
    end $function$

