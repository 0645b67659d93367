-- Shows an abandoned turn again, because the engine has a run for it. A retry or an edit replaces what it was to
-- replace, unless another turn has been placed there or behind it meanwhile: then it counts as replaced itself. Called
-- under the lock of the conversation. Returns the turn as it is now.
create or replace function revive_turn(p_turn turns) returns turns language plpgsql as $$
declare
  v_turn turns := p_turn;
begin
  update conversations set hidden = false where id = v_turn.conversation_id and hidden;
  if v_turn.superseded_by is null and v_turn.replaces_from is not null then
    select id into v_turn.superseded_by from turns
    where conversation_id = v_turn.conversation_id and position >= v_turn.replaces_from and id <> v_turn.id
      and state <> 'abandoned' and created_at >= v_turn.created_at
    order by position desc limit 1;
    if v_turn.superseded_by is null then
      v_turn.position := coalesce(v_turn.position, v_turn.former_position);
      v_turn.former_position := null;
      v_turn.replaced := supersede(v_turn.id, v_turn.conversation_id, v_turn.replaces_from, v_turn.position);
    else
      v_turn.former_position := coalesce(v_turn.position, v_turn.former_position);
      v_turn.position := null;
      with moved as (delete from messages where conversation_id = v_turn.conversation_id
        and position = v_turn.former_position and turn_id = v_turn.id returning *)
      insert into superseded_messages (id, conversation_id, turn_id, position, seq, role, text, parts, status,
        finish_reason, created_at, superseded_by)
      select id, conversation_id, turn_id, position, seq, role, text, parts, status, finish_reason, created_at,
        v_turn.superseded_by from moved;
    end if;
    update turns set position = v_turn.position, former_position = v_turn.former_position,
      superseded_by = v_turn.superseded_by, replaced = v_turn.replaced
    where id = v_turn.id;
  end if;
  if v_turn.position is null then
    update superseded_messages set status = 'complete'
    where conversation_id = v_turn.conversation_id and turn_id = v_turn.id and status = 'abandoned';
  else
    update messages set status = 'complete'
    where conversation_id = v_turn.conversation_id and position = v_turn.position and turn_id = v_turn.id
      and status = 'abandoned';
  end if;
  return v_turn;
end $$;
