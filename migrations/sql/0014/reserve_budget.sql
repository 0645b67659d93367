-- Reserves `perRun` tokens of the day (UTC) for a turn, from the budgets of its user and its actor that are set. Returns
-- the reservation; or `budget_exhausted` with the seconds to the end of the day, when fewer are left: a run with the rest
-- of a budget would only exceed it. Of a budget that is smaller than `perRun`, a run reserves the whole. With `perRun` 0
-- nothing is reserved or refused: the run exists already, and what it uses is counted at its end. The rows of a day
-- are locked in one order everywhere: the actor's, the user's.
create or replace function reserve_budget(p jsonb) returns jsonb language plpgsql as $$
declare
  v_day date := (now() at time zone 'UTC')::date;
  v_tokens bigint := least((p->'budget'->>'perRun')::bigint, (p->'budget'->>'user')::bigint,
    case when p->>'actor' is not null then (p->'budget'->>'actor')::bigint end);
  v_reservation jsonb := jsonb_build_object('day', v_day);
  v_scope text;
  v_name text;
  v_limit bigint;
  v_left bigint;
begin
  foreach v_scope in array array['actor', 'user'] loop
    v_name := case v_scope when 'actor' then p->>'actor' else p->>'userId' end;
    v_limit := (p->'budget'->>v_scope)::bigint;
    continue when v_name is null or v_limit is null;
    insert into budget_days (scope, name, day) values (v_scope, v_name, v_day) on conflict do nothing;
    select v_limit - used - reserved into v_left from budget_days
    where scope = v_scope and name = v_name and day = v_day for update;
    if v_left < v_tokens and v_tokens > 0 then
      return jsonb_build_object('outcome', 'budget_exhausted', 'scope', v_scope, 'retryAfter',
        greatest(1, ceil(extract(epoch from (v_day + 1)::timestamp - now() at time zone 'UTC'))::integer));
    end if;
    v_reservation := v_reservation || jsonb_build_object(v_scope, v_name);
  end loop;
  if not (v_reservation ? 'user' or v_reservation ? 'actor') then
    return null;
  end if;
  update budget_days set reserved = reserved + v_tokens
  where day = v_day and scope = 'actor' and name = v_reservation->>'actor';
  update budget_days set reserved = reserved + v_tokens
  where day = v_day and scope = 'user' and name = v_reservation->>'user';
  return v_reservation || jsonb_build_object('tokens', v_tokens);
end $$;
