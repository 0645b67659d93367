-- The hash of the arguments of a call.
create or replace function hash_of(p_args jsonb) returns text language sql immutable as $$
  select encode(sha256(convert_to(p_args::text, 'UTF8')), 'hex')
$$;
