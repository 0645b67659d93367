-- The key of `run_labels`: a digest, sixteen bytes long, of one user and one pair of metadata.
create or replace function run_label(p_user_id text, p_key text, p_value text)
returns uuid language sql immutable parallel safe as $$
  select md5(jsonb_build_array(p_user_id, p_key, p_value)::text)::uuid
$$;
