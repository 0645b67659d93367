-- What a turn at `p_position` has to know: `history`, the messages before it that its run may be sent, oldest first,
-- and `ahead`, the turns before it that have not ended, in their order.
--
-- The history is read from its newest message backwards and ends at `p_max_messages`, or where its JSON exceeds
-- `p_max_bytes`. The empty message of a run that failed without a word is left out. A message that alone takes half of that is sent as the beginning of its text.
create or replace function turn_context(p_conversation_id uuid, p_position integer, p_max_messages integer, p_max_bytes integer)
returns jsonb language plpgsql stable as $$
declare
  v_ahead jsonb;
  v_history jsonb[] := '{}';
  v_message record;
  v_parts jsonb;
  v_bytes integer := 0;
begin
  select coalesce(jsonb_agg(jsonb_build_object('turnId', turn_id, 'runId', run_id, 'position', position) order by position), '[]')
  into v_ahead from (
    select turn_id, run_id, position from runs
    where conversation_id = p_conversation_id and position < p_position and status in ('queued', 'running')
    union all
    select id, null, position from turns
    where conversation_id = p_conversation_id and position < p_position and state = 'dispatching'
  ) unfinished;

  for v_message in
    select id, role, text, parts, position from messages
    where conversation_id = p_conversation_id and position < p_position and status <> 'abandoned'
      and not (status = 'failed' and text = '' and parts = '[{"type": "step-start"}]')
      and (turn_id is null or not v_ahead @> jsonb_build_array(jsonb_build_object('turnId', turn_id)))
    order by position desc, seq desc limit p_max_messages
  loop
    v_parts := v_message.parts;
    if octet_length(v_parts::text) > p_max_bytes / 2 then
      v_parts := jsonb_build_array(jsonb_build_object('type', 'text', 'text', left(v_message.text, p_max_bytes / 8)));
    end if;
    v_bytes := v_bytes + octet_length(v_parts::text);
    exit when v_bytes > p_max_bytes;
    v_history := v_history || jsonb_build_object(
      'id', v_message.id, 'role', v_message.role, 'parts', v_parts, 'position', v_message.position);
  end loop;

  return jsonb_build_object('ahead', v_ahead, 'history', coalesce(
    (select jsonb_agg(message order by place desc) from unnest(v_history) with ordinality as newest(message, place)), '[]'));
end $$;
