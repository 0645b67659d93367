-- Gives the turns that a retry or an edit has replaced their places back, because no run was started for it. When
-- another turn has replaced the retry meanwhile, that turn has replaced these turns as well. Called under the lock of
-- the conversation.
create or replace function restore(p_turn turns) returns void language plpgsql as $$
begin
  if p_turn.superseded_by is not null then
    update turns set superseded_by = p_turn.superseded_by where id = any(p_turn.replaced) and superseded_by = p_turn.id;
    update turns set replaced = replaced || p_turn.replaced where id = p_turn.superseded_by;
    update superseded_messages set superseded_by = p_turn.superseded_by where superseded_by = p_turn.id;
    return;
  end if;
  -- An abandoned retry stays without a place: the turn that it was to replace stands there.
  update turns set superseded_by = null where id = any(p_turn.replaced) and superseded_by = p_turn.id
    and state = 'abandoned' and replaces_from = former_position;
  with restored as (
    update turns set position = former_position, former_position = null, superseded_by = null
    where id = any(p_turn.replaced) and superseded_by = p_turn.id returning id, position)
  update runs set position = restored.position from restored where runs.turn_id = restored.id;
  with moved as (delete from superseded_messages where superseded_by = p_turn.id returning *)
  insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts, status, finish_reason, created_at)
  select id, conversation_id, turn_id, position, seq, role, text, parts, status, finish_reason, created_at from moved;
end $$;
