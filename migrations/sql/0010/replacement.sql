-- Decides, under the lock of the conversation, whether a turn may replace what it names: a retry the newest turn
-- (`retryOf`, a run), an edit the turns from a place on (`editFrom`). `p_next` is the place that a new turn gets.
-- Returns `from`, the first place that is taken, and for a retry its `position`, `message` and `metadata`; or a refusal:
--   changed     the newest place is not the one that the page knows (`lastPosition`), or a retry has taken it from the
--               run that the page knows (`lastRunId`); with `headMessageId`
--   not_last    the run has been replaced (`supersededBy`), or a later turn stands behind it (`headMessageId`)
--   live        the run of the turn is unfinished, and the request does not interrupt it; with `activeRunId`
--   edit_long   the edit would replace too many turns
create or replace function replacement(p jsonb, p_conversation_id uuid, p_next integer)
returns jsonb language plpgsql stable as $$
declare
  v_last integer;
  v_last_run text;
  v_head uuid;
  v_turn turns%rowtype;
begin
  select position, run_id into v_last, v_last_run from turns
  where conversation_id = p_conversation_id and position is not null and state <> 'abandoned' order by position desc limit 1;
  select id into v_head from messages where conversation_id = p_conversation_id and status <> 'abandoned'
  order by position desc, seq desc limit 1;
  if (p ? 'lastPosition' and (p->>'lastPosition')::integer <> coalesce(v_last, 0))
    or (p ? 'lastRunId' and p->>'lastRunId' is distinct from v_last_run) then
    return jsonb_build_object('outcome', 'changed', 'headMessageId', v_head);
  elsif p ? 'editFrom' then
    return case when p_next - (p->>'editFrom')::integer > (p->>'editLimit')::integer
      then jsonb_build_object('outcome', 'edit_long') else jsonb_build_object('from', p->'editFrom') end;
  elsif not p ? 'retryOf' then
    return '{}';
  end if;
  select turns.* into v_turn from runs join turns on turns.id = runs.turn_id where runs.run_id = p->>'retryOf';
  if v_turn.position is null or v_turn.position <> v_last then
    return jsonb_build_object('outcome', 'not_last', 'headMessageId', v_head, 'supersededBy',
      (select run_id from turns where id = v_turn.superseded_by));
  elsif p->>'ifBusy' <> 'interrupt' and exists (
    select from runs where run_id = p->>'retryOf' and status in ('queued', 'running')) then
    return jsonb_build_object('outcome', 'live', 'activeRunId', p->>'retryOf');
  end if;
  return jsonb_build_object('from', v_last, 'position', v_last, 'message', v_turn.input->'message',
    'metadata', v_turn.metadata);
end $$;
