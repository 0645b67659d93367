-- Denies what is pending in a conversation, because it goes on otherwise; see `deny_actions`. Returns the continuations.
create or replace function deny_pending(p_conversation_id uuid, p_reason text, p_withdraw boolean, p_lease_seconds integer)
returns uuid[] language sql as $$
  select coalesce(array_agg(continuation) filter (where continuation is not null), '{}')
  from (select distinct turn_id from actions where conversation_id = p_conversation_id and status = 'pending') waiting,
    deny_actions(turn_id, p_reason, p_withdraw, p_lease_seconds) continuation;
$$;
