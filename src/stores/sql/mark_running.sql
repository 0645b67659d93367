-- Notes that a run executes: its deadline counts from now on. Returns false when there is no queued run with this id.
--
-- The lock of the conversation comes first, as at the end of a run: the feed sorts events by their transactions, and a
-- transaction that waits for this lock has no number yet. So the start of a run comes before its end.
create or replace function mark_running(p_run_id text, p_started_at timestamptz, p_seconds integer)
returns boolean language plpgsql as $$
begin
  perform from conversations where id = (select conversation_id from runs where run_id = p_run_id) for no key update;
  update runs set status = 'running', started_at = coalesce(p_started_at, now()), missed_at = null,
    deadline_at = now() + p_seconds * interval '1 second',
    check_at = case when cancel_requested_at is null then now() + interval '8 seconds' else check_at end
  where run_id = p_run_id and status = 'queued';
  return found;
end $$;
