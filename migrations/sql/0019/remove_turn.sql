-- Removes a turn that has no run, with its message and with the conversation that the turn has opened; the turns that
-- it was to replace, or to continue, get their places back. Returns false when the turn has a run, or does not exist.
create or replace function remove_turn(p_turn_id uuid) returns boolean language plpgsql as $$
declare
  v_turn turns%rowtype;
begin
  perform from conversations where id = (select conversation_id from turns where id = p_turn_id) for update;
  delete from turns where id = p_turn_id and state <> 'started' returning * into v_turn;
  if not found then
    return false;
  end if;
  delete from messages
  where conversation_id = v_turn.conversation_id and position = v_turn.position and turn_id = p_turn_id;
  delete from superseded_messages where v_turn.position is null and turn_id = p_turn_id
    and conversation_id = v_turn.conversation_id and position = v_turn.former_position;
  if v_turn.continues is not null then
    update turns set position = former_position, former_position = null, continued_by = null
    where id = v_turn.continues and superseded_by is null;
    perform deny_actions(v_turn.continues, 'The run could not be started.', true, 0);
  end if;
  if v_turn.replaced is not null then
    perform restore(v_turn);
  end if;
  if v_turn.reservation is not null then
    perform settle_budget(v_turn.reservation, 0);
  end if;
  if (v_turn.input->>'newConversation')::boolean then
    -- Its id was never told, so nothing else can be in it but its seed.
    delete from messages where conversation_id = v_turn.conversation_id;
    delete from conversations where id = v_turn.conversation_id;
  else
    -- The agent of a conversation that has no turn and no message is not fixed.
    update conversations set agent = null where id = v_turn.conversation_id
      and not exists (select from turns where conversation_id = v_turn.conversation_id)
      and not exists (select from messages where conversation_id = v_turn.conversation_id);
  end if;
  return true;
end $$;
