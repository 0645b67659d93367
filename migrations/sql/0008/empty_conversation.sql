-- Removes a batch of the contents of a deleted conversation. Its turns and runs stay as empty rows, so that their keys
-- go on answering. Returns whether that was the last batch.
create or replace function empty_conversation(p_conversation_id uuid, p_batch integer)
returns boolean language plpgsql as $$
declare
  v_left boolean := false;
begin
  delete from messages where id in (
    select id from messages where conversation_id = p_conversation_id order by position, seq limit p_batch);
  v_left := v_left or found;
  update turns set conversation_id = null, position = null, input = null, metadata = '{}', deleted_at = now()
  where id in (select id from turns where conversation_id = p_conversation_id order by position limit p_batch);
  v_left := v_left or found;
  delete from run_labels where (label, id) in (
    select label, id from (
      select id, user_id, metadata from runs where conversation_id = p_conversation_id order by id limit p_batch) emptied,
      -- An array, because the planner takes the pairs of a row for a hundred and would scan all labels.
      unnest(array(select run_label(user_id, key, value) from jsonb_each_text(metadata))) label);
  update runs set conversation_id = null, position = null, output = null, error = null, metadata = '{}', deleted_at = now()
  where id in (select id from runs where conversation_id = p_conversation_id order by id limit p_batch);
  v_left := v_left or found;
  if v_left then
    v_left := exists (select from messages where conversation_id = p_conversation_id)
      or exists (select from turns where conversation_id = p_conversation_id)
      or exists (select from runs where conversation_id = p_conversation_id);
  end if;
  if not v_left then
    delete from deletions where conversation_id = p_conversation_id;
  end if;
  return not v_left;
end $$;
