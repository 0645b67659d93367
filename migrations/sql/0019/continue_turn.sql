-- Starts the continuation of a turn whose calls were all decided: another turn takes its place, with the same question
-- and the same answer. Any instance may dispatch it. What it uses counts in the budgets of today, like that of the turn
-- in those of its own day. Called under the lock of the conversation, and of the turn. Returns the id of the
-- continuation, also when the turn had one before; null when the turn has left its conversation.
create or replace function continue_turn(p_turn_id uuid, p_lease_seconds integer) returns uuid language plpgsql as $$
declare
  v_turn turns%rowtype;
  v_id uuid := time_ordered_uuid();
  v_day date := (now() at time zone 'UTC')::date;
begin
  select * into v_turn from turns where id = p_turn_id for update;
  if v_turn.continued_by is not null then
    return v_turn.continued_by;
  elsif v_turn.deleted_at is not null or v_turn.superseded_by is not null then
    return null;
  end if;
  update turns set former_position = position, position = null, continued_by = v_id where id = p_turn_id;
  insert into budget_days (scope, name, day)
  select key, value, v_day from jsonb_each_text(v_turn.reservation) where key in ('actor', 'user') order by key
  on conflict do nothing;
  insert into turns (id, conversation_id, user_id, actor, state, position, input, metadata, check_at, webhook, chat_id, agent,
    continues, reservation)
  values (v_id, v_turn.conversation_id, v_turn.user_id, v_turn.actor, 'dispatching', v_turn.position,
    v_turn.input || '{"newConversation": false}', v_turn.metadata, now() + p_lease_seconds * interval '1 second',
    v_turn.webhook, v_turn.chat_id, v_turn.agent, p_turn_id, v_turn.reservation || jsonb_build_object('day', v_day, 'tokens', 0));
  return v_id;
end $$;
