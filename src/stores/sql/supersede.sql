-- Takes the places from `p_from` to `p_to` from the turns that stand there, for the turn `p_turn_id`: their messages
-- leave the thread, and their unfinished runs are marked to be cancelled. The question at `p_to` stays: a retry answers
-- it again, and an edit has put it there. Called under the lock of the conversation. Returns the ids of these turns.
create or replace function supersede(p_turn_id uuid, p_conversation_id uuid, p_from integer, p_to integer)
returns uuid[] language plpgsql as $$
declare
  v_turns uuid[];
begin
  with replaced as (
    update turns set former_position = position, position = null, superseded_by = p_turn_id,
      cancel_requested_at = case state when 'dispatching' then coalesce(cancel_requested_at, now()) else cancel_requested_at end
    where conversation_id = p_conversation_id and position between p_from and p_to and id <> p_turn_id
    returning id)
  select coalesce(array_agg(id), '{}') into v_turns from replaced;
  update runs set position = null,
    cancel_requested_at = case when finished_at is null then coalesce(cancel_requested_at, now()) else cancel_requested_at end,
    check_at = case when finished_at is null then least(check_at, now() + interval '5 seconds') else check_at end
  where turn_id = any(v_turns);
  with moved as (
    delete from messages where conversation_id = p_conversation_id and position between p_from and p_to
      and (position < p_to or seq > 0)
    returning *)
  insert into superseded_messages (id, conversation_id, turn_id, position, seq, role, text, parts, status, finish_reason,
    created_at, superseded_by)
  select id, conversation_id, turn_id, position, seq, role, text, parts, status, finish_reason, created_at, p_turn_id
  from moved;
  -- A summary of messages that have left the thread is none of the thread any more.
  update conversations set summary = null
  where id = p_conversation_id and (summary->>'position')::integer >= p_from;
  return v_turns;
end $$;
