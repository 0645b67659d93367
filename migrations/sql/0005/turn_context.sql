CREATE OR REPLACE FUNCTION public.turn_context(p_conversation_id uuid, p_position integer, p_max_messages integer, p_max_bytes integer)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    with ahead as (
      select id, run_id, status, position from runs
      where conversation_id = p_conversation_id and position < p_position
        and status in ('dispatching', 'queued', 'running')
    ), recent as (
      select id, role, parts, position, seq,
             sum(octet_length(parts::text)) over (order by position desc, seq desc) as bytes
      from (
        select m.id, m.role, m.parts, m.position, m.seq from messages m
        where m.conversation_id = p_conversation_id and m.position < p_position
          and (m.run_id is null or not exists (select from ahead where ahead.id = m.run_id))
        order by m.position desc, m.seq desc
        limit p_max_messages
      ) newest
    )
    select jsonb_build_object(
      'history', coalesce((
        select jsonb_agg(jsonb_build_object('id', id, 'role', role, 'parts', parts, 'position', position) order by position, seq)
        from recent where bytes <= p_max_bytes), '[]'),
      'ahead', coalesce((
        select jsonb_agg(jsonb_build_object('turnId', id, 'runId', run_id, 'status', status, 'position', position) order by position)
        from ahead), '[]'))
  $function$

