-- The trigger of `runs` that writes the deliveries about the end of a run, whichever statement stores the end.
create or replace function deliver_run_end() returns trigger language plpgsql as $$
begin
  perform write_deliveries('run.' || new.status, new.user_id, new.conversation_id, new.run_id,
    (select webhook from turns where id = new.turn_id));
  return null;
end $$;
