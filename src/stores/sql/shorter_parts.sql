-- The parts of a message, with results of tools that are longer than `p_longest` characters as their beginning.
create or replace function shorter_parts(p_parts jsonb, p_longest integer) returns jsonb language sql immutable as $$
  select coalesce(jsonb_agg(
    case when length(part->>'output') > p_longest
      then jsonb_set(part, '{output}', to_jsonb(left(part->>'output', p_longest) || '… [cut: ' || length(part->>'output') || ' characters]'))
      else part end order by place), '[]')
  from jsonb_array_elements(p_parts) with ordinality as parts(part, place)
$$;
