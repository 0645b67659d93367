-- The trigger of `runs` that notes a new run, its execution and its end. A run of a deleted conversation is not shown.
create or replace function note_run() returns trigger language plpgsql as $$
begin
  perform note_event('run.' || case new.status when 'running' then 'started' else new.status end, new.user_id,
    new.conversation_id, jsonb_build_object('runId', new.run_id));
  return null;
end $$;
