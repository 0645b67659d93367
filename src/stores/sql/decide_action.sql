-- Records an answer about a tool call. `outcome`:
--   recorded   the answer counts
--   known      the same answer counts already
--   decided    another answer counts (`status`)
--   not_found  there is no such action for this caller
--   agent_refused  the agent of the turn (`agent`) is not among those that the caller may use (`agents`)
-- `pending` is the number of calls of the turn that still wait. The last answer starts the continuation (`turnId`);
-- `continuedBy` is its run, once it has one. With `approver` the caller may answer for other users.
create or replace function decide_action(p jsonb) returns jsonb language plpgsql as $$
declare
  v_action actions%rowtype;
  v_outcome text := 'recorded';
  v_pending integer;
  v_turn_id uuid;
  v_agent text;
begin
  select actions.* into v_action from actions join runs on runs.turn_id = actions.turn_id
  where actions.id = (p->>'actionId')::uuid and actions.run_id = p->>'runId'
    and (actions.user_id = p->>'userId' or (p->>'approver')::boolean) and runs.deleted_at is null
    and not exists (select from deletions where deletions.conversation_id = runs.conversation_id);
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  select agent into v_agent from turns where id = v_action.turn_id;
  if not p->'agents' ? v_agent then
    return jsonb_build_object('outcome', 'agent_refused', 'agent', v_agent);
  end if;
  perform from conversations where id = v_action.conversation_id for no key update;
  if v_action.conversation_id is not null and not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  perform from turns where id = v_action.turn_id for update;
  select * into v_action from actions where id = v_action.id;
  if (v_action.kind = 'approval') <> (p->>'status' in ('approved', 'denied')) then
    return jsonb_build_object('outcome', 'wrong_kind', 'kind', v_action.kind);
  elsif v_action.status <> 'pending' or v_action.expires_at <= now() then
    v_outcome := case when v_action.status = p->>'status' and v_action.output is not distinct from p->'output'
      and v_action.error is not distinct from p->>'error' then 'known' else 'decided' end;
  else
    update actions set status = p->>'status', reason = p->>'reason', output = p->'output', error = p->>'error',
      decided_at = now(), decided_by = p->>'userId', decided_actor = p->>'actor', request_id = p->>'requestId'
    where id = v_action.id returning * into v_action;
    perform mark_call(v_action);
  end if;
  select count(*) into v_pending from actions where turn_id = v_action.turn_id and status = 'pending' and expires_at > now();
  if v_outcome = 'recorded' and v_pending = 0 then
    v_turn_id := deny_actions(v_action.turn_id, null, false, (p->>'leaseSeconds')::integer);
    v_turn_id := coalesce(v_turn_id, continue_turn(v_action.turn_id, (p->>'leaseSeconds')::integer));
  end if;
  return jsonb_strip_nulls(jsonb_build_object('outcome', v_outcome, 'pending', v_pending, 'turnId', v_turn_id,
    'status', case when v_action.status = 'pending' then 'expired' else v_action.status end,
    'decidedAt', coalesce(v_action.decided_at, v_action.expires_at), 'decidedBy', v_action.decided_by,
    'continuedBy', (select continued_by from runs where run_id = v_action.run_id)));
end $$;
