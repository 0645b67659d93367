-- Abandons a turn whose start ends without an answer of the engine: from now on nothing shows the turn. The turn keeps
-- its place and its message, which its status hides; a retry gives its place back to the turn that it was to replace.
-- Returns false when the turn has its run already.
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
  update turns set state = 'abandoned', check_at = now() + p_check_seconds * interval '1 second',
    former_position = case when replaces_from = position then position else former_position end,
    position = case when replaces_from = position then null else position end
  where id = p_turn_id;
  update messages set status = 'abandoned'
  where conversation_id = v_turn.conversation_id and position = v_turn.position and turn_id = p_turn_id;
  update superseded_messages set status = 'abandoned' where v_turn.position is null and turn_id = p_turn_id
    and conversation_id = v_turn.conversation_id and position = v_turn.former_position;
  if v_turn.replaced is not null then
    perform restore(v_turn);
    update turns set replaced = '{}', replaced_summary = null where id = p_turn_id;
  end if;
  update conversations set hidden = true
  where id = v_turn.conversation_id and (v_turn.input->>'newConversation')::boolean;
  return true;
end $$;
