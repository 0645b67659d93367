-- Turns the reservation of a turn into what its run has used: once, by what ends the run or removes the turn.
create or replace function settle_budget(p_reservation jsonb, p_used bigint) returns void language plpgsql as $$
declare
  v_scope text;
begin
  foreach v_scope in array array['actor', 'user'] loop
    update budget_days set reserved = reserved - (p_reservation->>'tokens')::bigint, used = used + coalesce(p_used, 0)
    where day = (p_reservation->>'day')::date and scope = v_scope and name = p_reservation->>v_scope;
  end loop;
end $$;
