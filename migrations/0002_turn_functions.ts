import { type Kysely, sql } from 'kysely'

/**
 * The write path of a turn: one function, one round trip each. Functions, because under READ COMMITTED a
 * single statement keeps the snapshot from before its lock and would miss the turn in front of it; in a
 * function every statement after the lock sees what the lock waited for.
 *
 * Lock order everywhere: conversation, then run.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // What a turn at `p_position` must know: finished messages before it (newest first until one of the bounds
  // is reached, returned oldest first) and the unfinished runs ahead of it.
  await sql`
    create function turn_context(p_conversation_id uuid, p_position integer, p_max_messages integer, p_max_bytes integer)
    returns jsonb language sql stable as $$
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
          select jsonb_agg(jsonb_build_object('turnId', id, 'runId', run_id, 'status', status) order by position)
          from ahead), '[]'))
    $$`.execute(db)

  // Places a turn at the end of its conversation: lock, ownership and position in one, then the run's row and
  // the user's message. Used by a first start and by the revival of an abandoned one.
  await sql`
    create function start_turn(p jsonb) returns jsonb language plpgsql as $$
    declare
      v_turn_id uuid := (p->>'turnId')::uuid;
      v_user_id text := p->>'userId';
      v_key text := p->>'idempotencyKey';
      v_conversation_id uuid := (p->>'conversationId')::uuid;
      v_is_new boolean := (p->>'newConversation')::boolean;
      v_known runs%rowtype;
      v_revived boolean := false;
      v_attempt integer := 0;
      v_message jsonb := p->'message';
      v_position integer;
      v_ahead jsonb;
      v_count integer;
      v_oldest text;
    begin
      if v_key is not null then
        -- Comes before every other lock, and only here and in adopt_turn; the row itself is locked after its
        -- conversation.
        perform pg_advisory_xact_lock(hashtextextended(jsonb_build_array(v_user_id, v_key)::text, 0));
        select * into v_known from runs where user_id = v_user_id and idempotency_key = v_key;
        if found then
          if v_known.request_hash is distinct from p->>'requestHash' then
            return jsonb_build_object('outcome', 'mismatch');
          elsif v_known.status <> 'abandoned' then
            return jsonb_build_object('outcome', 'replay', 'turnId', v_known.id, 'runId', v_known.run_id,
              'conversationId', v_known.conversation_id);
          end if;
          -- The first dispatch had no answer: the same turn goes on, at a place of its own behind the others.
          v_revived := true;
          v_turn_id := v_known.id;
          v_message := v_known.input->'message';
          if v_is_new then
            v_conversation_id := (v_known.input->>'conversationId')::uuid;
            v_is_new := not exists (select from conversations where id = v_conversation_id and user_id = v_user_id);
          end if;
        end if;
      end if;

      if v_is_new then
        insert into conversations (id, user_id, title, next_position)
        values (v_conversation_id, v_user_id, p->>'title', 2);
        v_position := 1;
        insert into messages (id, conversation_id, position, seq, role, text, parts)
        select (m->>'id')::uuid, v_conversation_id, 0, (o - 1)::integer, m->>'role', m->>'text', m->'parts'
        from jsonb_array_elements(p->'seed') with ordinality as seed(m, o);
      else
        select next_position into v_position from conversations
        where id = v_conversation_id and user_id = v_user_id for no key update;
        if not found then
          return jsonb_build_object('outcome', 'conversation_not_found');
        end if;
        select count(*), (array_agg(run_id order by position))[1] into v_count, v_oldest from runs
        where conversation_id = v_conversation_id and status in ('dispatching', 'queued', 'running');
        if v_count > 0 and p->>'ifBusy' = 'reject' then
          return jsonb_build_object('outcome', 'busy', 'activeRunId', v_oldest);
        elsif v_count >= (p->>'queueLimit')::integer and p->>'ifBusy' <> 'interrupt' then
          return jsonb_build_object('outcome', 'queue_full', 'activeRunId', v_oldest);
        end if;
        update conversations set next_position = next_position + 1, last_activity_at = now(), updated_at = now()
        where id = v_conversation_id;
        if p->>'ifBusy' = 'interrupt' then
          update runs set cancel_requested_at = coalesce(cancel_requested_at, now()),
                          check_at = least(check_at, now() + interval '5 seconds')
          where conversation_id = v_conversation_id and status in ('dispatching', 'queued', 'running');
        end if;
      end if;

      if v_revived then
        update runs set status = 'dispatching', position = v_position, conversation_id = v_conversation_id,
          cancel_requested_at = null, missed_at = null,
          check_at = now() + (p->>'checkSeconds')::integer * interval '1 second',
          deadline_at = now() + (p->>'deadlineSeconds')::integer * interval '1 second'
        where id = v_turn_id and status = 'abandoned'
        returning dispatch_attempt into v_attempt;
        if not found then
          raise exception 'the turn was removed while it waited for its conversation' using errcode = '40001';
        end if;
      else
        insert into runs (id, conversation_id, user_id, actor, status, position, input, metadata,
                          idempotency_key, request_hash, check_at, deadline_at)
        values (v_turn_id, v_conversation_id, v_user_id, p->>'actor', 'dispatching', v_position,
          jsonb_build_object('message', v_message, 'conversationId', v_conversation_id, 'newConversation', v_is_new,
            'assistantMessageId', p->>'assistantMessageId'),
          p->'metadata', v_key, p->>'requestHash',
          now() + (p->>'checkSeconds')::integer * interval '1 second',
          now() + (p->>'deadlineSeconds')::integer * interval '1 second');
      end if;
      insert into messages (id, conversation_id, run_id, position, seq, role, text, parts)
      values ((v_message->>'id')::uuid, v_conversation_id, v_turn_id, v_position, 0, 'user',
        v_message->>'text', v_message->'parts');

      return jsonb_build_object('outcome', 'created', 'turnId', v_turn_id, 'conversationId', v_conversation_id,
          'position', v_position, 'attempt', v_attempt, 'revived', v_revived, 'message', v_message,
          'assistantMessageId', (select input->>'assistantMessageId' from runs where id = v_turn_id))
        || turn_context(v_conversation_id, v_position, (p->>'maxMessages')::integer, (p->>'maxBytes')::integer);
    end $$`.execute(db)

  // Ends a turn once: false when somebody else was first. The tags of a run may name another turn than the row
  // that holds it (its first start could not be stored, and the retry found the run by its key), so a turn that
  // does not exist is looked up by the engine's id.
  await sql`
    create function finalize_turn(p_turn_id uuid, p_run_id text, p_status text, p_output jsonb, p_text text,
      p_usage jsonb, p_error_code text, p_error text, p_frame_count integer, p_truncated boolean,
      p_started_at timestamptz, p_finished_at timestamptz)
    returns boolean language plpgsql as $$
    declare
      v_turn_id uuid;
      v_conversation_id uuid;
      v_position integer;
      v_message_id text;
    begin
      select id, conversation_id into v_turn_id, v_conversation_id from runs
      where id = p_turn_id or run_id = p_run_id order by run_id = p_run_id desc nulls last limit 1;
      perform from conversations where id = v_conversation_id for no key update;
      update runs set status = p_status, run_id = coalesce(run_id, p_run_id),
        input = case when deleted_at is null then input end, output = case when deleted_at is null then p_output end,
        usage = p_usage, error_code = p_error_code, error = p_error, frame_count = p_frame_count,
        truncated = p_truncated, started_at = coalesce(started_at, p_started_at),
        finished_at = coalesce(p_finished_at, now()), check_at = null
      where id = v_turn_id and status in ('dispatching', 'queued', 'running') and (run_id is null or run_id = p_run_id)
      returning conversation_id, position, coalesce(p_output->>'id', '') into v_conversation_id, v_position, v_message_id;
      if not found then
        return false;
      end if;
      if p_output is not null and v_conversation_id is not null then
        if v_message_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
          select input->>'assistantMessageId' into v_message_id from runs where id = v_turn_id;
        end if;
        insert into messages (id, conversation_id, run_id, position, seq, role, text, parts, status)
        values (v_message_id::uuid, v_conversation_id, v_turn_id, v_position, 1, 'assistant', p_text,
          p_output->'parts', case p_status when 'completed' then 'complete' else p_status end);
      end if;
      update conversations set last_activity_at = greatest(last_activity_at, now()), updated_at = now()
      where id = v_conversation_id;
      return true;
    end $$`.execute(db)

  // Takes a turn back that never reached the engine for certain (`p_keep` false: its rows go), or whose fate
  // is unknown (`p_keep` true: it stays as `abandoned`, without messages, so that nothing shows it).
  await sql`
    create function withdraw_turn(p_turn_id uuid, p_keep boolean) returns boolean language plpgsql as $$
    declare
      v_conversation_id uuid;
      v_is_new boolean;
    begin
      select conversation_id, (input->>'newConversation')::boolean into v_conversation_id, v_is_new
      from runs where id = p_turn_id;
      perform from conversations where id = v_conversation_id for no key update;
      if p_keep then
        update runs set status = 'abandoned', check_at = now() + interval '15 seconds'
        where id = p_turn_id and status = 'dispatching' and run_id is null;
      else
        delete from runs where id = p_turn_id and status in ('dispatching', 'abandoned') and run_id is null;
      end if;
      if not found then
        return false;
      end if;
      delete from messages where conversation_id = v_conversation_id and run_id = p_turn_id;
      if v_is_new and not exists (select from runs where conversation_id = v_conversation_id and id <> p_turn_id) then
        delete from conversations where id = v_conversation_id;
      end if;
      return true;
    end $$`.execute(db)

  // Removes a conversation with its messages and the contents of its runs. The lock comes first, in a statement
  // of its own: a turn that was being started meanwhile is seen and emptied too. Returns the unfinished runs,
  // or null when there is no such conversation.
  await sql`
    create function delete_conversation(p_user_id text, p_conversation_id uuid) returns jsonb language plpgsql as $$
    declare
      v_active jsonb;
    begin
      perform from conversations where id = p_conversation_id and user_id = p_user_id for update;
      if not found then
        return null;
      end if;
      select coalesce(jsonb_agg(jsonb_build_object('turnId', id, 'runId', run_id)), '[]') into v_active from runs
      where conversation_id = p_conversation_id and status in ('dispatching', 'queued', 'running');
      update runs set deleted_at = now(), output = null, metadata = '{}', error = null,
        input = case when status = 'dispatching' then input end,
        -- The key of a turn that ran goes on answering with it; one of a turn that did not is free again.
        idempotency_key = case when status <> 'abandoned' then idempotency_key end,
        cancel_requested_at = case when finished_at is null then now() end,
        check_at = case when finished_at is null then now() + interval '5 seconds' end
      where conversation_id = p_conversation_id;
      delete from conversations where id = p_conversation_id;
      return v_active;
    end $$`.execute(db)

  // Gives a run that was started while the database was away its row. `superseded`: its key has got another run.
  await sql`
    create function adopt_turn(p jsonb) returns text language plpgsql as $$
    declare
      v_key text := p->>'idempotencyKey';
    begin
      if v_key is not null then
        perform pg_advisory_xact_lock(hashtextextended(jsonb_build_array(p->>'userId', v_key)::text, 0));
      end if;
      insert into runs (id, run_id, user_id, actor, status, input, metadata, idempotency_key, request_hash,
                        check_at, deadline_at, created_at)
      values ((p->>'turnId')::uuid, p->>'runId', p->>'userId', p->>'actor', 'queued', p->'input', p->'metadata',
        v_key, p->>'requestHash', now(),
        (p->>'createdAt')::timestamptz + (p->>'deadlineSeconds')::integer * interval '1 second',
        (p->>'createdAt')::timestamptz)
      on conflict do nothing;
      if found then
        return 'adopted';
      elsif exists (select from runs where run_id = p->>'runId' or id = (p->>'turnId')::uuid) then
        return 'known';
      elsif exists (select from runs where user_id = p->>'userId' and idempotency_key = v_key and run_id is not null) then
        return 'superseded';
      end if;
      -- The key's row has no run yet: its own dispatch finds this one.
      return 'known';
    end $$`.execute(db)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop function adopt_turn, delete_conversation, withdraw_turn, finalize_turn, start_turn, turn_context`.execute(
    db,
  )
}
