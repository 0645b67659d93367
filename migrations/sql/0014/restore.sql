-- Gives the turns that a retry or an edit has replaced their places back, and the conversation its summary of them,
-- because no run was started for it. When another turn has replaced the retry meanwhile, that turn has replaced these
-- turns as well. The feed hears of an answer that was stored while its turn had no place: of all others it has heard
-- before. Called under the lock of the conversation.
create or replace function restore(p_turn turns) returns void language plpgsql as $$
begin
  if p_turn.superseded_by is not null then
    update turns set superseded_by = p_turn.superseded_by where id = any(p_turn.replaced) and superseded_by = p_turn.id;
    update turns set replaced = replaced || p_turn.replaced,
      replaced_summary = coalesce(replaced_summary, p_turn.replaced_summary)
    where id = p_turn.superseded_by;
    update runs set superseded_by = (select run_id from turns where id = p_turn.superseded_by)
    where turn_id = any(p_turn.replaced);
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
  -- A run that was started before the edit may have written a shorter summary meanwhile.
  update conversations set summary = p_turn.replaced_summary
  where id = p_turn.conversation_id and p_turn.replaced_summary is not null
    and (summary is null or (summary->>'position')::integer < (p_turn.replaced_summary->>'position')::integer);
  perform note_event('message.stored', turns.user_id, turns.conversation_id,
    jsonb_build_object('messageId', messages.id, 'role', 'assistant', 'runId', turns.run_id))
  from turns join messages on messages.conversation_id = turns.conversation_id and messages.position = turns.position
    and messages.seq = 1
  where turns.id = any(p_turn.replaced) and messages.created_at > p_turn.created_at;
end $$;
