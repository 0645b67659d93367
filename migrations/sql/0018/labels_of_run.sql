-- The labels by which lists find a run: one for each pair of its metadata, and one for its agent. A pair has a key, so no
-- pair has the label of an agent. The list of the runs of `default` walks the runs of the user.
create or replace function labels_of_run(p_user_id text, p_agent text, p_metadata jsonb)
returns uuid[] language sql immutable parallel safe as $$
  select array(select run_label(p_user_id, key, value) from jsonb_each_text(p_metadata))
    || case p_agent when 'default' then '{}'::uuid[] else array[run_label(p_user_id, null, p_agent)] end
$$;
