-- Deletes a conversation: from now on nothing shows the conversation, its messages or its runs. This function removes a
-- first batch of the contents; `empty_conversation` removes the rest later. Returns the unfinished runs, or null when
-- there is no such conversation.
create or replace function delete_conversation(p_user_id text, p_conversation_id uuid, p_batch integer)
returns jsonb language plpgsql as $$
declare
  v_active jsonb;
begin
  delete from conversations where id = p_conversation_id and user_id = p_user_id and not hidden;
  if not found then
    return null;
  end if;
  perform cancel_unfinished(p_conversation_id);
  select coalesce(jsonb_agg(jsonb_build_object('turnId', turn_id, 'runId', run_id)), '[]') into v_active from runs
  where conversation_id = p_conversation_id and status in ('queued', 'running');
  insert into deletions (conversation_id) values (p_conversation_id);
  perform write_deliveries('conversation.deleted', p_user_id, p_conversation_id, null, null);
  perform note_event('conversation.deleted', p_user_id, p_conversation_id, '{}');
  perform empty_conversation(p_conversation_id, p_batch);
  return v_active;
end $$;
