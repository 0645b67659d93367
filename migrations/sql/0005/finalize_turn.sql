CREATE OR REPLACE FUNCTION public.finalize_turn(p_turn_id uuid, p_run_id text, p_status text, p_output jsonb, p_text text, p_usage jsonb, p_error_code text, p_error text, p_frame_count integer, p_truncated boolean, p_started_at timestamp with time zone, p_finished_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
    declare
      v_turn_id uuid;
      v_conversation_id uuid;
      v_position integer;
      v_message_id text;
    begin
      select id, conversation_id into v_turn_id, v_conversation_id from runs
      where id = p_turn_id or run_id = p_run_id order by run_id = p_run_id desc nulls last limit 1;
      perform from conversations where id = v_conversation_id for no key update;
      update runs set status = p_status, run_id = coalesce(run_id, p_run_id),
        input = case when deleted_at is null then input end, output = case when deleted_at is null then p_output end,
        usage = p_usage, error_code = p_error_code, error = p_error, frame_count = p_frame_count,
        truncated = p_truncated, started_at = coalesce(started_at, p_started_at),
        finished_at = coalesce(p_finished_at, now()), check_at = null
      where id = v_turn_id and status in ('dispatching', 'queued', 'running') and (run_id = p_run_id or (run_id is null and (p_run_id is null or p_run_id <> all (given_up_runs))))
      returning conversation_id, position, coalesce(p_output->>'id', '') into v_conversation_id, v_position, v_message_id;
      if not found then
        return false;
      end if;
      if p_output is not null and v_conversation_id is not null then
        if v_message_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
          select input->>'assistantMessageId' into v_message_id from runs where id = v_turn_id;
        end if;
        insert into messages (id, conversation_id, run_id, position, seq, role, text, parts, status)
        values (v_message_id::uuid, v_conversation_id, v_turn_id, v_position, 1, 'assistant', p_text,
          p_output->'parts', case p_status when 'completed' then 'complete' else p_status end);
      end if;
      update conversations set last_activity_at = greatest(last_activity_at, now()), updated_at = now()
      where id = v_conversation_id;
      return true;
    end $function$

