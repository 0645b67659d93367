-- Denies all calls for which a run waits, also those that were approved: its caller cancels it. A continuation that has
-- no run yet is cancelled, too. Returns whether the run has waited.
create or replace function cancel_actions(p_user_id text, p_run_id text) returns boolean language plpgsql as $$
declare
  v_run runs%rowtype;
begin
  select * into v_run from runs where run_id = p_run_id and user_id = p_user_id and deleted_at is null;
  perform from conversations where id = v_run.conversation_id for no key update;
  perform from turns where id = v_run.turn_id for update;
  update turns set cancel_requested_at = coalesce(cancel_requested_at, now())
  where id = (select continued_by from turns where id = v_run.turn_id) and state = 'dispatching';
  if not exists (select from actions where turn_id = v_run.turn_id and status = 'pending') then
    return false;
  end if;
  perform deny_actions(v_run.turn_id, 'The run was cancelled.', true, 0);
  return true;
end $$;
