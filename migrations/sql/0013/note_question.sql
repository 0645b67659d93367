-- The trigger of `turns` that notes the user's message once the turn has its first run. Before that, the message may
-- vanish again with its turn.
create or replace function note_question() returns trigger language plpgsql as $$
begin
  perform note_event('message.stored', new.user_id, new.conversation_id,
    jsonb_build_object('messageId', new.input->'message'->'id', 'role', 'user', 'runId', new.run_id));
  return null;
end $$;
