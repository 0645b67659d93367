-- The context of a turn at `p_position`: `history`, the messages before the turn that its run may be sent, oldest first,
-- `ahead`, the turns before it that have not ended, in their order, `window`, what the conversation keeps for its
-- prompts, and `omitted`, the number of messages (500 at most) between its summary and the history.
--
-- The history begins after the summary. It is read from its newest message backwards and ends at `p_max_messages`, or
-- where its JSON exceeds `p_max_bytes`. A message that takes half of `p_max_bytes` alone is sent as the beginning of its
-- text. In a conversation whose prompts are measured in tokens, results of tools before the newest turn are sent as their
-- beginning, and a quarter counts instead of half: so the worker gets all messages that it has not summarised yet. The
-- empty message of a run that failed without an answer is left out, and so are the messages at the places of the turns
-- ahead.
create or replace function turn_context(p_conversation_id uuid, p_position integer, p_max_messages integer, p_max_bytes integer)
returns jsonb language plpgsql stable as $$
declare
  v_ahead jsonb;
  v_summary jsonb;
  v_after_position integer;
  v_after_seq integer;
  v_ratio double precision;
  v_history jsonb[] := '{}';
  v_message record;
  v_newest integer;
  v_is_cut boolean := false;
  v_parts jsonb;
  v_read integer := 0;
  v_bytes integer := 0;
  v_omitted integer := 0;
begin
  select coalesce(jsonb_agg(jsonb_build_object('turnId', turn_id, 'runId', run_id, 'position', position) order by position), '[]')
  into v_ahead from (
    select turn_id, run_id, position from runs
    where conversation_id = p_conversation_id and position < p_position and status in ('queued', 'running')
    union all
    select id, null, position from turns
    where conversation_id = p_conversation_id and position < p_position and state = 'dispatching'
  ) unfinished;
  select summary, characters_per_token into v_summary, v_ratio from conversations where id = p_conversation_id;
  v_after_position := coalesce((v_summary->>'position')::integer, -1);
  v_after_seq := coalesce((v_summary->>'seq')::integer, -1);

  for v_message in
    select id, role, text, parts, status, position, seq from messages
    where conversation_id = p_conversation_id and position < p_position and status <> 'abandoned'
      and (position, seq) > (v_after_position, v_after_seq)
      and not (status = 'failed' and text = '' and parts = '[{"type": "step-start"}]')
      and not v_ahead @> jsonb_build_array(jsonb_build_object('position', position))
    order by position desc, seq desc limit p_max_messages + 1
  loop
    v_is_cut := true;
    exit when cardinality(v_history) = p_max_messages or v_read > p_max_bytes * 8;
    v_newest := coalesce(v_newest, v_message.position);
    v_parts := v_message.parts;
    v_read := v_read + octet_length(v_parts::text);
    if v_ratio is not null and v_message.position < v_newest then
      v_parts := shorter_parts(v_parts, 1024);
    end if;
    if octet_length(v_parts::text) > (p_max_bytes / case when v_ratio is null then 2 else 4 end) then
      v_parts := jsonb_build_array(jsonb_build_object('type', 'text', 'text', left(v_message.text, p_max_bytes / 8)));
    end if;
    v_bytes := v_bytes + octet_length(v_parts::text);
    exit when v_bytes > p_max_bytes;
    v_history := v_history || jsonb_build_object(
      'id', v_message.id, 'role', v_message.role, 'parts', v_parts, 'status', v_message.status,
      'position', v_message.position);
    v_is_cut := false;
  end loop;
  if v_is_cut then
    select count(*) into v_omitted from (
      select from messages
      where conversation_id = p_conversation_id and status <> 'abandoned'
        and (position, seq) > (v_after_position, v_after_seq)
        and (position, seq) <= (v_message.position, v_message.seq)
      limit 500) omitted;
  end if;

  return jsonb_build_object('ahead', v_ahead, 'omitted', v_omitted, 'history', coalesce(
      (select jsonb_agg(message order by place desc) from unnest(v_history) with ordinality as newest(message, place)), '[]'),
    'window', case when v_ratio is not null or v_summary is not null then
      jsonb_strip_nulls(jsonb_build_object('summary', v_summary, 'charactersPerToken', v_ratio)) end);
end $$;
