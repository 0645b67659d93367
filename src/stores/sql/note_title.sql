-- The trigger of `conversations` that notes another title.
create or replace function note_title() returns trigger language plpgsql as $$
begin
  perform note_event('conversation.updated', new.user_id, new.id, '{}');
  return null;
end $$;
