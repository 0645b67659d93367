-- The turns of these that have not ended, with their runs: what the start that replaces them has to cancel.
create or replace function superseded_runs(p_turns uuid[]) returns jsonb language sql stable as $$
  select jsonb_build_object('superseded', coalesce(
    jsonb_agg(jsonb_build_object('turnId', id, 'runId', run_id, 'position', former_position) order by former_position), '[]'))
  from turns
  where id = any(p_turns) and (state = 'dispatching' or exists (
    select from runs where runs.turn_id = turns.id and status in ('queued', 'running')))
$$;
