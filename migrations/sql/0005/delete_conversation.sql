CREATE OR REPLACE FUNCTION public.delete_conversation(p_user_id text, p_conversation_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
    declare
      v_active jsonb;
    begin
      perform from conversations where id = p_conversation_id and user_id = p_user_id for update;
      if not found then
        return null;
      end if;
      select coalesce(jsonb_agg(jsonb_build_object('turnId', id, 'runId', run_id)), '[]') into v_active from runs
      where conversation_id = p_conversation_id and status in ('dispatching', 'queued', 'running');
      update runs set deleted_at = now(), output = null, metadata = '{}', error = null,
        input = case when status = 'dispatching' then input end,
        cancel_requested_at = case when finished_at is null then now() end,
        check_at = case when finished_at is null then now() + interval '5 seconds' end
      where conversation_id = p_conversation_id;
      delete from conversations where id = p_conversation_id;
      return v_active;
    end $function$

