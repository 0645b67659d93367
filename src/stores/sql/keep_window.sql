-- Keeps what a run has found out for the later prompts of its conversation. A summary replaces another one only when it
-- reaches further: a run may end later than the run behind it. It reaches through the newest of its messages that is
-- stored; a message of a turn stands for its whole turn, since the turn's answer may be stored later.
create or replace function keep_window(p_conversation_id uuid, p_window jsonb) returns void language sql as $$
  -- Materialized, so that the messages are found by their ids, however long the conversation is.
  with named as materialized (
    select id, conversation_id, position, seq from messages where id = any(array(
      select case when name ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then name::uuid end
      from jsonb_array_elements_text(p_window->'summary'->'through') as through(name)))),
  reached as (
    select id, position, case position when 0 then seq else 1 end as seq from named
    where conversation_id = p_conversation_id order by named.position desc, named.seq desc limit 1)
  update conversations c set
    characters_per_token = coalesce((p_window->>'charactersPerToken')::double precision, characters_per_token),
    summary = coalesce((
      select (p_window->'summary') || jsonb_build_object('through', reached.id, 'position', reached.position, 'seq', reached.seq)
      from reached
      where c.summary is null
        or (reached.position, reached.seq) > ((c.summary->>'position')::integer, (c.summary->>'seq')::integer)), summary)
  where c.id = p_conversation_id
$$;
