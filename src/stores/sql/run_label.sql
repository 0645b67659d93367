-- What `run_labels` is looked up by: one pair of metadata of one user's runs, in sixteen bytes whatever its length.
create or replace function run_label(p_user_id text, p_key text, p_value text)
returns uuid language sql immutable parallel safe as $$
  select md5(jsonb_build_array(p_user_id, p_key, p_value)::text)::uuid
$$;
