-- Adds an event to the feed. Called in the transaction of what the event is about, after the locks of that transaction
-- were taken. An event holds ids and no contents.
create or replace function note_event(p_type text, p_user_id text, p_conversation_id uuid, p_data jsonb)
returns void language plpgsql as $$
begin
  insert into feed_events (type, user_id, conversation_id, data) values (p_type, p_user_id, p_conversation_id, p_data);
end $$;
