-- The start of a turn ends without an answer of the engine, and its caller is told so: nothing shows the turn from
-- now on. It keeps its place and its message, hidden by their status. False when the turn has its run already.
create or replace function abandon_turn(p_turn_id uuid, p_check_seconds integer) returns boolean language plpgsql as $$
declare
  v_turn turns%rowtype;
begin
  perform from conversations where id = (select conversation_id from turns where id = p_turn_id) for no key update;
  -- By its id: the planner would walk the index of all turns that are being dispatched for their state.
  select * into v_turn from turns where id = p_turn_id for update;
  if v_turn.state is distinct from 'dispatching' then
    return false;
  end if;
  update turns set state = 'abandoned', check_at = now() + p_check_seconds * interval '1 second' where id = p_turn_id;
  update messages set status = 'abandoned'
  where conversation_id = v_turn.conversation_id and position = v_turn.position;
  update conversations set hidden = true
  where id = v_turn.conversation_id and (v_turn.input->>'newConversation')::boolean;
  return true;
end $$;
