-- What the dispatch of a continuation has to know: the turn, the answer so far, what was decided about its calls, and
-- the turn context. Arguments that no longer have the hash with which they were stored are never executed.
create or replace function continuation(p_turn_id uuid, p_max_messages integer, p_max_bytes integer)
returns jsonb language sql stable as $$
  select jsonb_build_object('turnId', turns.id, 'userId', turns.user_id, 'conversationId', turns.conversation_id,
      'position', turns.position, 'agent', turns.agent, 'state', turns.state, 'runId', turns.run_id, 'input', turns.input,
      'cancelRequested', turns.cancel_requested_at is not null, 'createdAt', turns.created_at,
      'continues', jsonb_build_object('runId', runs.run_id, 'message', runs.output, 'actions', (
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('actionId', id, 'runId', actions.run_id,
          'toolCallId', tool_call_id, 'toolName', tool_name, 'kind', kind, 'reason', reason, 'error', actions.error,
          'status', case when args_hash <> hash_of(args) then 'denied' else actions.status end))
          || jsonb_build_object('args', args)
          || case when actions.status = 'answered' and actions.error is null
             then jsonb_build_object('output', coalesce(actions.output, 'null')) else '{}' end order by place)
        from actions where actions.turn_id = turns.continues)))
    || case when turns.conversation_id is null then '{"history": [], "ahead": [], "window": null, "omitted": 0}'
       else turn_context(turns.conversation_id, turns.position, p_max_messages, p_max_bytes) end
  from turns join runs on runs.turn_id = turns.continues
  where turns.id = p_turn_id and turns.deleted_at is null and runs.output is not null
$$;
