-- Writes one delivery of an event for each endpoint that wants it, and one for the address that the start has named.
-- Called in the transaction of the event. An endpoint that is switched off gets its deliveries too, as failed ones: they
-- can be looked at and delivered again. No delivery holds contents: those are read when it is sent.
create or replace function write_deliveries(p_event text, p_user_id text, p_conversation_id uuid, p_run_id text,
  p_webhook jsonb)
returns void language plpgsql as $$
begin
  insert into webhook_deliveries (id, target, url, event, user_id, conversation_id, run_id, status, error_code, due_at)
  select time_ordered_uuid(), target, url, p_event, p_user_id, p_conversation_id, p_run_id,
    case when is_off then 'failed' else 'pending' end, case when is_off then 'endpoint_off' end,
    case when not is_off then now() end
  from (
    select name as target, null as url, off_at is not null as is_off from webhook_endpoints
    where p_event = any(events) and (users is null or p_user_id = any(users))
    union all
    select p_webhook->>'origin', p_webhook->>'url', false where p_webhook is not null) wanted;
end $$;
