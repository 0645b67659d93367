-- Notes the wish to cancel on all unfinished turns and runs of a conversation, and denies all calls that wait there. `record_run` copies the wish from a turn
-- to its run. The sweeper cancels the runs that the calling instance does not cancel.
create or replace function cancel_unfinished(p_conversation_id uuid) returns void language sql as $$
  select deny_pending(p_conversation_id, 'The run was cancelled.', true, 0);
  update turns set cancel_requested_at = coalesce(cancel_requested_at, now())
  where conversation_id = p_conversation_id and state = 'dispatching';
  update runs set cancel_requested_at = coalesce(cancel_requested_at, now()),
    check_at = least(check_at, now() + interval '5 seconds')
  where conversation_id = p_conversation_id and status in ('queued', 'running');
$$;
