-- The parts of an answer in which no call waits any more: a copy of the answer has no actions.
create or replace function closed_parts(p_parts jsonb) returns jsonb language sql immutable as $$
  select jsonb_agg(part || case
      when part->>'state' in ('approval-requested', 'approval-responded') then jsonb_build_object('state', 'output-denied',
        'approval', part->'approval' || '{"approved": false, "reason": "The call was not executed."}')
      when part->>'state' = 'input-available' then
        '{"state": "output-error", "errorText": "The call was not executed."}' else '{}' end order by at)
  from jsonb_array_elements(p_parts) with ordinality as parts(part, at)
$$;
