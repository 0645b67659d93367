-- Adds a run that has ended to the usage of its user's day (UTC). Called in the transaction that ends the run, as its
-- last statement: a row of a busy user is locked for that moment only.
create or replace function count_usage(p_run runs) returns void language sql as $$
  insert into usage_days as days (user_id, day, agent, model, completed, failed, cancelled, input_tokens, output_tokens,
    total_tokens, cached_input_tokens, reasoning_tokens, estimated)
  values (p_run.user_id, (p_run.finished_at at time zone 'UTC')::date, p_run.agent, coalesce(p_run.facts->>'model', ''),
    (p_run.status = 'completed')::integer, (p_run.status = 'failed')::integer, (p_run.status = 'cancelled')::integer,
    coalesce((p_run.usage->>'inputTokens')::bigint, 0), coalesce((p_run.usage->>'outputTokens')::bigint, 0),
    coalesce((p_run.usage->>'totalTokens')::bigint, 0), coalesce((p_run.usage->>'cachedInputTokens')::bigint, 0),
    coalesce((p_run.usage->>'reasoningTokens')::bigint, 0),
    coalesce((p_run.usage->>'estimated')::boolean, false)::integer)
  on conflict (user_id, day, agent, model) do update set
    completed = days.completed + excluded.completed, failed = days.failed + excluded.failed,
    cancelled = days.cancelled + excluded.cancelled, input_tokens = days.input_tokens + excluded.input_tokens,
    output_tokens = days.output_tokens + excluded.output_tokens,
    total_tokens = days.total_tokens + excluded.total_tokens,
    cached_input_tokens = days.cached_input_tokens + excluded.cached_input_tokens,
    reasoning_tokens = days.reasoning_tokens + excluded.reasoning_tokens,
    estimated = days.estimated + excluded.estimated
$$;
