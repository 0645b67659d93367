CREATE OR REPLACE FUNCTION public.withdraw_turn(p_turn_id uuid, p_keep boolean)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
    declare
      v_conversation_id uuid;
      v_is_new boolean;
    begin
      select conversation_id, (input->>'newConversation')::boolean into v_conversation_id, v_is_new
      from runs where id = p_turn_id;
      if not found then
        return false;
      end if;
      perform from conversations where id = v_conversation_id for no key update;
      if p_keep then
        update runs set status = 'abandoned', input = case when deleted_at is null then input end, check_at = now() + interval '15 seconds'
        where id = p_turn_id and status = 'dispatching' and run_id is null;
      else
        delete from runs where id = p_turn_id and status in ('dispatching', 'abandoned') and run_id is null;
      end if;
      if not found then
        return false;
      end if;
      delete from messages where conversation_id = v_conversation_id and run_id = p_turn_id;
      if v_is_new and not exists (select from runs where conversation_id = v_conversation_id and id <> p_turn_id) then
        delete from conversations where id = v_conversation_id;
      end if;
      return true;
    end $function$

