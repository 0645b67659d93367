-- Removes a batch of the contents of a deleted conversation. Its turns and runs stay as empty rows, so that a known key
-- makes no second run. Returns whether that was the last batch.
create or replace function empty_conversation(p_conversation_id uuid, p_batch integer)
returns boolean language plpgsql as $$
declare
  v_left boolean := false;
begin
  delete from messages where id in (
    select id from messages where conversation_id = p_conversation_id order by position, seq limit p_batch);
  v_left := v_left or found;
  delete from superseded_messages where id in (
    select id from superseded_messages where conversation_id = p_conversation_id order by position, seq, id limit p_batch);
  v_left := v_left or found;
  -- In one statement, so that both are about the same turns: many of a conversation may have no position.
  with emptied as (
    update turns set conversation_id = null, position = null, former_position = null, input = null, metadata = '{}',
      deleted_at = now()
    where id in (select id from turns where conversation_id = p_conversation_id order by position limit p_batch)
    returning id),
  unasked as (delete from actions where turn_id in (select id from emptied))
  select v_left or exists (select from emptied) into v_left;
  delete from run_labels where (label, id) in (
    select label, id from (
      select id, user_id, agent, metadata from runs where conversation_id = p_conversation_id order by id limit p_batch) emptied,
      -- An array, because the planner takes the pairs of a row for a hundred and would scan all labels.
      unnest(labels_of_run(user_id, agent, metadata)) label);
  update runs set conversation_id = null, position = null, output = null, error = null, metadata = '{}', deleted_at = now()
  where id in (select id from runs where conversation_id = p_conversation_id order by id limit p_batch);
  v_left := v_left or found;
  if v_left then
    v_left := exists (select from messages where conversation_id = p_conversation_id)
      or exists (select from superseded_messages where conversation_id = p_conversation_id)
      or exists (select from turns where conversation_id = p_conversation_id)
      or exists (select from runs where conversation_id = p_conversation_id);
  end if;
  if not v_left then
    delete from deletions where conversation_id = p_conversation_id;
  end if;
  return not v_left;
end $$;
