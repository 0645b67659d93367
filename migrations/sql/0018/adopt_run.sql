-- Gives rows to a run that was started while the database was away. If the run's key or turn has rows without a run,
-- the run gets those; else it gets new rows that belong to no conversation. `superseded`: the key has another run. Nothing
-- could be reserved for the run; what it uses counts towards the budgets nevertheless.
create or replace function adopt_run(p jsonb) returns text language plpgsql as $$
declare
  v_turn_id uuid := (p->>'turnId')::uuid;
  v_run_id text := p->>'runId';
  v_user_id text := p->>'userId';
  v_key text := p->>'idempotencyKey';
  v_known uuid;
begin
  if v_key is not null then
    perform pg_advisory_xact_lock(hashtextextended(jsonb_build_array(v_user_id, v_key)::text, 0));
  end if;
  if exists (select from runs where run_id = v_run_id) then
    return 'known';
  end if;
  select id into v_known from turns
  where state <> 'started' and (id = v_turn_id or (user_id = v_user_id and idempotency_key = v_key));
  if not found then
    insert into turns (id, user_id, actor, state, input, metadata, idempotency_key, request_hash, check_at,
                       webhook, reservation, agent, dispatched_at, created_at)
    values (v_turn_id, v_user_id, p->>'actor', 'dispatching', p->'input', p->'metadata', v_key, p->>'requestHash', now(),
      p->'webhook', case when p ? 'budget' then reserve_budget(p) end,
      coalesce(p->>'agent', 'default'), (p->>'createdAt')::timestamptz, (p->>'createdAt')::timestamptz)
    on conflict do nothing
    returning id into v_known;
    if not found then
      return 'superseded';
    end if;
  end if;
  perform record_run(v_known, v_run_id, (p->>'id')::uuid, true, (p->>'deadlineSeconds')::integer);
  update runs set check_at = now() where run_id = v_run_id;
  return 'adopted';
end $$;
