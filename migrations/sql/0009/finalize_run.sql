-- Ends a run once and stores its answer. Returns true when this call has ended the run, false when the run had ended
-- before, and null when there is no such run. With `p_stop` the row stays due until the sweeper has stopped the run at
-- the engine. `p_facts` says how the run ended; instances of an older version leave it out. Its `window` is kept by the
-- conversation.
create or replace function finalize_run(p_run_id text, p_status text, p_output jsonb, p_text text, p_usage jsonb,
  p_error_code text, p_error text, p_frame_count integer, p_truncated boolean, p_started_at timestamptz,
  p_finished_at timestamptz, p_stop boolean, p_facts jsonb default null)
returns boolean language plpgsql as $$
declare
  v_run runs%rowtype;
  v_is_kept boolean;
  v_message_id text := coalesce(p_output->>'id', '');
begin
  select * into v_run from runs where run_id = p_run_id;
  if not found then
    return null;
  end if;
  perform from conversations where id = v_run.conversation_id for no key update;
  v_is_kept := found or v_run.conversation_id is null;
  update runs set status = p_status, output = case when deleted_at is null and v_is_kept then p_output end,
    usage = p_usage, facts = p_facts - 'window', error_code = p_error_code, error = p_error, frame_count = p_frame_count,
    truncated = p_truncated, started_at = coalesce(started_at, p_started_at),
    finished_at = coalesce(p_finished_at, now()), check_at = case when p_stop then now() end
  where run_id = p_run_id and status in ('queued', 'running')
  returning * into v_run;
  if not found then
    return false;
  end if;
  if v_run.conversation_id is null or not v_is_kept then
    perform count_usage(v_run);
    return true;
  end if;
  -- A failed run has a message, whatever it has said: the conversation shows that there was no answer.
  if p_output is not null or p_status = 'failed' then
    if v_message_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
      select input->>'assistantMessageId' into v_message_id from turns where id = v_run.turn_id;
    end if;
    insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts, status,
                          finish_reason)
    values (v_message_id::uuid, v_run.conversation_id, v_run.turn_id, v_run.position, 1, 'assistant', p_text,
      coalesce(p_output->'parts', '[{"type": "step-start"}]'), case p_status when 'completed' then 'complete' else p_status end,
      p_facts->>'finishReason');
  end if;
  update conversations set last_activity_at = greatest(last_activity_at, now()), updated_at = now()
  where id = v_run.conversation_id;
  if p_facts ? 'window' then
    perform keep_window(v_run.conversation_id, p_facts->'window');
  end if;
  -- The run behind it begins now: a lost event about that is made up for soon.
  update runs set check_at = least(check_at, now() + interval '8 seconds')
  where id = (select id from runs where conversation_id = v_run.conversation_id and status = 'queued'
              order by position limit 1);
  perform count_usage(v_run);
  return true;
end $$;
