CREATE OR REPLACE FUNCTION public.start_turn(p jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
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
          v_message := coalesce(v_known.input->'message', v_message);
          if v_is_new then
            v_conversation_id := coalesce((v_known.input->>'conversationId')::uuid, v_conversation_id);
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
          cancel_requested_at = null, missed_at = null, deleted_at = null, metadata = p->'metadata',
          input = coalesce(input, jsonb_build_object('message', v_message, 'conversationId', v_conversation_id,
            'newConversation', v_is_new, 'assistantMessageId', p->>'assistantMessageId')),
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
    end $function$

