-- Ends the wait of a turn without an answer: what is pending is denied, or has expired. A call that was approved or
-- answered is executed all the same, by a continuation; with `p_withdraw` it is denied as well. Called under the lock
-- of the conversation. Returns the continuation, or null.
create or replace function deny_actions(p_turn_id uuid, p_reason text, p_withdraw boolean, p_lease_seconds integer)
returns uuid language plpgsql as $$
begin
  update actions set decided_at = now(),
    status = case when status = 'pending' and expires_at <= now() then 'expired' else 'denied' end,
    reason = case when status = 'pending' and expires_at <= now() then 'Nobody has answered in time.' else p_reason end
  where turn_id = p_turn_id and (status = 'pending' or (p_withdraw and status in ('approved', 'answered')));
  perform mark_call(actions) from actions where turn_id = p_turn_id and decided_at = now()::timestamptz(3)
    and status in ('denied', 'expired');
  if exists (select from actions where turn_id = p_turn_id and status in ('approved', 'answered')) then
    return continue_turn(p_turn_id, p_lease_seconds);
  end if;
  return null;
end $$;
