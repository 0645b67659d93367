-- The trigger of `messages` that notes an answer.
create or replace function note_answer() returns trigger language plpgsql as $$
begin
  perform note_event('message.stored', user_id, conversation_id,
    jsonb_build_object('messageId', new.id, 'role', 'assistant', 'runId', run_id))
  from turns where id = new.turn_id and conversation_id is not null;
  return null;
end $$;
