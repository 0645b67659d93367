-- Notes the wish to cancel on all that a conversation has unfinished. A turn that has no run yet hands the wish on to
-- its run (`record_run`); the sweeper cancels what its instance does not.
create or replace function cancel_unfinished(p_conversation_id uuid) returns void language sql as $$
  update turns set cancel_requested_at = coalesce(cancel_requested_at, now())
  where conversation_id = p_conversation_id and state = 'dispatching';
  update runs set cancel_requested_at = coalesce(cancel_requested_at, now()),
    check_at = least(check_at, now() + interval '5 seconds')
  where conversation_id = p_conversation_id and status in ('queued', 'running');
$$;
