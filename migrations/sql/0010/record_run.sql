-- Gives a turn the run that the engine has for it. `state` says what became of it:
--   recorded   the turn has this run; `cancel`: a caller has asked to cancel the turn meanwhile
--   other      the turn has another run (`runId`)
--   abandoned  the caller was told that the start failed, and nothing was recorded; with `p_revive` the run is recorded
--              instead, and the turn is shown again at its own place
--   gone       there is no such turn
create or replace function record_run(p_turn_id uuid, p_run_id text, p_id uuid, p_revive boolean, p_deadline_seconds integer)
returns jsonb language plpgsql as $$
declare
  v_turn turns%rowtype;
begin
  if p_revive then
    perform from conversations where id = (select conversation_id from turns where id = p_turn_id) for no key update;
  end if;
  select * into v_turn from turns where id = p_turn_id for update;
  if not found then
    return jsonb_build_object('state', 'gone');
  elsif v_turn.run_id = p_run_id then
    return jsonb_build_object('state', 'recorded',
      'cancel', exists (select from runs where run_id = p_run_id and cancel_requested_at is not null and finished_at is null));
  elsif v_turn.state = 'started' then
    return jsonb_build_object('state', 'other', 'runId', v_turn.run_id);
  elsif v_turn.state = 'abandoned' and not p_revive then
    return jsonb_build_object('state', 'abandoned');
  end if;

  if v_turn.state = 'abandoned' and not exists (select from runs where run_id = p_run_id) then
    v_turn := revive_turn(v_turn);
  end if;
  insert into runs (id, turn_id, run_id, user_id, actor, conversation_id, position, status, metadata,
                    cancel_requested_at, check_at, deadline_at, deleted_at, created_at, retry_of, superseded_by)
  values (p_id, v_turn.id, p_run_id, v_turn.user_id, v_turn.actor, v_turn.conversation_id, v_turn.position, 'queued',
    v_turn.metadata, v_turn.cancel_requested_at, now() + interval '8 seconds', now() + p_deadline_seconds * interval '1 second',
    v_turn.deleted_at, v_turn.dispatched_at, v_turn.retry_of,
    case when v_turn.superseded_by is not null then (select run_id from turns where id = v_turn.superseded_by) end)
  on conflict (run_id) do nothing;
  if not found then
    return jsonb_build_object('state', 'gone');
  end if;
  insert into run_labels (label, id)
  select run_label(v_turn.user_id, key, value), p_id from jsonb_each_text(v_turn.metadata);
  update turns set state = 'started', run_id = p_run_id, check_at = null where id = v_turn.id;
  if v_turn.replaced is not null then
    update runs set superseded_by = p_run_id where turn_id = any(v_turn.replaced);
  end if;
  return jsonb_build_object('state', 'recorded', 'cancel', v_turn.cancel_requested_at is not null);
end $$;
