-- Gives a turn its place: the row of the turn with its lease, the user's message, and the conversation if it is new.
-- The start that creates a turn owns its dispatch until the lease ends (`check_at`).
--
-- `outcome` names the result:
--   created     the turn, with all that its payload needs
--   replay      the key belongs to a turn that has its run, or whose start is still dispatching it
--   unresolved  the key belongs to a turn whose start ended without an answer of the engine. The service asks the
--               engine for a run of the turn. If there is none, it calls again and names the turn in `replaces`
--   mismatch, conversation_not_found, busy, queue_full, and those of `replacement`: refusals; nothing was written
--
-- With `retryOf` (a run) the turn answers the question of that run's turn again, at its place. With `editFrom` (a place)
-- it gets the next place and replaces the turns from there on. `superseded` names replaced turns that are unfinished.
--
-- A function, because a single statement under READ COMMITTED keeps the snapshot from before its lock and would miss
-- the turn in front of it. Lock order everywhere: key, conversation, turn, run.
create or replace function start_turn(p jsonb) returns jsonb language plpgsql as $$
declare
  v_turn_id uuid := (p->>'turnId')::uuid;
  v_user_id text := p->>'userId';
  v_key text := p->>'idempotencyKey';
  v_conversation_id uuid := (p->>'conversationId')::uuid;
  v_is_new boolean := (p->>'newConversation')::boolean;
  v_message jsonb := p->'message';
  v_known turns%rowtype;
  v_position integer;
  v_unfinished integer;
  v_oldest text;
  v_replacement jsonb;
  v_from integer;
  v_replaced uuid[];
begin
  if v_key is not null then
    perform pg_advisory_xact_lock(hashtextextended(jsonb_build_array(v_user_id, v_key)::text, 0));
    select * into v_known from turns where user_id = v_user_id and idempotency_key = v_key;
    if found then
      if v_known.request_hash is distinct from p->>'requestHash' then
        return jsonb_build_object('outcome', 'mismatch');
      elsif v_known.state = 'started' or (v_known.state = 'dispatching' and v_known.check_at > now()) then
        return jsonb_build_object('outcome', 'replay', 'turnId', v_known.id, 'runId', v_known.run_id,
          'conversationId', v_known.conversation_id);
      elsif v_known.id::text is distinct from p->>'replaces' then
        return jsonb_build_object('outcome', 'unresolved', 'turnId', v_known.id,
          'deleted', v_known.deleted_at is not null);
      elsif not remove_turn(v_known.id) then
        raise exception 'the turn got its run while it was being replaced' using errcode = '40001';
      end if;
    end if;
  end if;

  if p ? 'retryOf' then
    select conversation_id into v_conversation_id from runs
    where run_id = p->>'retryOf' and user_id = v_user_id and deleted_at is null;
  end if;
  if v_is_new then
    insert into conversations (id, user_id, title, next_position, opened_by)
    values (v_conversation_id, v_user_id, p->>'title', 2, p->>'openedBy');
    v_position := 1;
    insert into messages (id, conversation_id, position, seq, role, text, parts)
    select (m->>'id')::uuid, v_conversation_id, 0, (o - 1)::integer, m->>'role', m->>'text', m->'parts'
    from jsonb_array_elements(p->'seed') with ordinality as seed(m, o);
  else
    select next_position into v_position from conversations
    where id = v_conversation_id and user_id = v_user_id and not hidden for no key update;
    if not found then
      return jsonb_build_object('outcome', 'conversation_not_found');
    end if;
    select count(*), (array_agg(run_id order by position))[1] into v_unfinished, v_oldest from (
      select run_id, position from runs where conversation_id = v_conversation_id and status in ('queued', 'running')
      union all
      select null, position from turns where conversation_id = v_conversation_id and state = 'dispatching') unfinished;
    if p ? 'retryOf' or p ? 'editFrom' or p ? 'lastPosition' then
      v_replacement := replacement(p, v_conversation_id, v_position);
      if v_replacement ? 'outcome' then
        return v_replacement;
      end if;
      v_message := coalesce(v_replacement->'message', v_message);
      v_position := coalesce((v_replacement->>'position')::integer, v_position);
      v_from := (v_replacement->>'from')::integer;
    end if;
    if v_unfinished > 0 and p->>'ifBusy' = 'reject' then
      return jsonb_build_object('outcome', 'busy', 'activeRunId', v_oldest);
    elsif v_unfinished >= (p->>'queueLimit')::integer and p->>'ifBusy' <> 'interrupt' then
      return jsonb_build_object('outcome', 'queue_full', 'activeRunId', v_oldest);
    end if;
    update conversations set next_position = greatest(next_position, v_position + 1), last_activity_at = now(),
      updated_at = now(), title = coalesce(title, p->>'title')
    where id = v_conversation_id;
    if p->>'ifBusy' = 'interrupt' then
      perform cancel_unfinished(v_conversation_id);
    end if;
    if v_from is not null then
      v_replaced := supersede(v_turn_id, v_conversation_id, v_from, v_position);
    end if;
  end if;

  insert into turns (id, conversation_id, user_id, actor, state, position, input, metadata, idempotency_key,
                     request_hash, check_at, replaces_from, replaced, retry_of)
  values (v_turn_id, v_conversation_id, v_user_id, p->>'actor', 'dispatching', v_position,
    jsonb_build_object('message', v_message, 'newConversation', v_is_new, 'assistantMessageId', p->>'assistantMessageId'),
    coalesce(p->'metadata', v_replacement->'metadata'), v_key, p->>'requestHash',
    now() + (p->>'leaseSeconds')::integer * interval '1 second', v_from, v_replaced, p->>'retryOf');
  if not p ? 'retryOf' then
    insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
    values ((v_message->>'id')::uuid, v_conversation_id, v_turn_id, v_position, 0, 'user',
      v_message->>'text', v_message->'parts');
  end if;

  return jsonb_build_object('outcome', 'created', 'position', v_position)
    || case when v_from is null then '{}' else superseded_runs(v_replaced) end
    || case when p ? 'retryOf' then jsonb_build_object('conversationId', v_conversation_id, 'message', v_message)
       else '{}' end
    || turn_context(v_conversation_id, v_position, (p->>'maxMessages')::integer, (p->>'maxBytes')::integer);
end $$;
