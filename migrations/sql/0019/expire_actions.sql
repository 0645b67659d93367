-- Records that nobody has answered in time. When other calls of the turn were approved or answered, the turn goes on.
-- Returns whether more may be due.
create or replace function expire_actions(p_limit integer) returns boolean language plpgsql as $$
declare
  v_due record;
  v_count integer := 0;
begin
  for v_due in
    select distinct turn_id, conversation_id from (
      select turn_id, conversation_id from actions where status = 'pending' and expires_at <= now()
      order by expires_at limit p_limit) due
    order by conversation_id, turn_id
  loop
    perform from conversations where id = v_due.conversation_id for no key update skip locked;
    continue when v_due.conversation_id is not null and not found;
    perform from turns where id = v_due.turn_id for update;
    if not exists (select from actions where turn_id = v_due.turn_id and status = 'pending' and expires_at > now()) then
      perform deny_actions(v_due.turn_id, null, false, 0);
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count = p_limit;
end $$;
