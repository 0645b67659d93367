-- Writes into the stored answer what became of one of its calls, so that pages which load the conversation show it. The
-- run that goes on replaces the answer by one with the results.
create or replace function mark_call(p_action actions) returns void language sql as $$
  update messages set parts = (
    select jsonb_agg(case when part->>'toolCallId' = p_action.tool_call_id then part || patch else part end order by at)
    from jsonb_array_elements(parts) with ordinality as parts(part, at))
  from (select case
      when p_action.kind = 'approval' then jsonb_build_object(
        'state', case p_action.status when 'approved' then 'approval-responded' else 'output-denied' end,
        'approval', jsonb_strip_nulls(jsonb_build_object('id', p_action.id, 'approved', p_action.status = 'approved',
          'reason', p_action.reason)))
      when p_action.status = 'answered' and p_action.error is null then
        jsonb_build_object('state', 'output-available', 'output', coalesce(p_action.output, 'null'))
      else jsonb_build_object('state', 'output-error', 'errorText', coalesce(p_action.error, p_action.reason)) end as patch) as patches
  where conversation_id = p_action.conversation_id and seq = 1
    and position = (select position from turns where id = p_action.turn_id);
$$;
