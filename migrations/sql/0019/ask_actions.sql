-- Stores the calls for which a run that has just ended waits. When its turn is not the newest one of its conversation,
-- or was replaced, nothing waits: the calls are denied. Called by `finalize_run`, under the lock of the conversation.
create or replace function ask_actions(p_run runs, p_facts jsonb) returns void language plpgsql as $$
begin
  insert into actions (id, turn_id, run_id, user_id, conversation_id, place, kind, tool_call_id, tool_name, args, args_hash,
    message, status, created_at, expires_at)
  select (asked->>'actionId')::uuid, p_run.turn_id, p_run.run_id, p_run.user_id, p_run.conversation_id, place, asked->>'kind',
    asked->>'toolCallId', asked->>'toolName', asked->'args', hash_of(asked->'args'), asked->>'message', 'pending',
    (asked->>'createdAt')::timestamptz, (asked->>'expiresAt')::timestamptz
  from jsonb_array_elements(p_facts->'pendingActions') with ordinality as calls(asked, place)
  on conflict (id) do nothing;
  update turns set input = input || jsonb_build_object('asked', p_facts->'asked') where id = p_run.turn_id;
  if p_run.cancel_requested_at is not null or (p_run.conversation_id is not null and (p_run.position is null or exists (
    select from turns where conversation_id = p_run.conversation_id and position > p_run.position and state <> 'abandoned')))
  then
    perform deny_actions(p_run.turn_id, 'The conversation went on.', true, 0);
    return;
  end if;
  perform write_deliveries('run.action_required', p_run.user_id, p_run.conversation_id, p_run.run_id,
    (select webhook from turns where id = p_run.turn_id));
  perform note_event('run.action_required', p_run.user_id, p_run.conversation_id, jsonb_build_object('runId', p_run.run_id));
end $$;
