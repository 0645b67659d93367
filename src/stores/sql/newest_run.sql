-- The newest run of the chain to which a run belongs: a turn that has waited goes on with another run.
create or replace function newest_run(p_run_id text) returns text language sql stable as $$
  with recursive chain as (
    select run_id, continued_by from runs where run_id = p_run_id
    union
    select runs.run_id, runs.continued_by from chain join runs on runs.run_id = chain.continued_by)
  select coalesce((select run_id from chain where continued_by is null limit 1), p_run_id)
$$;
