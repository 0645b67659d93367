-- Copies a conversation, or its beginning up to and with a message, into a new conversation of the same user. The
-- messages get new ids and stand at place 0, like history that a start brought along. `outcome`: `forked`,
-- `conversation_not_found`, `message_not_found`, `busy` (a turn up to there is unfinished; `activeRunId`), `too_long`.
create or replace function fork_conversation(p_user_id text, p_conversation_id uuid, p_message_id uuid, p_new_id uuid,
  p_limit integer)
returns jsonb language plpgsql as $$
declare
  v_message messages%rowtype;
  v_count integer;
  v_active text;
  v_conversation conversations%rowtype;
  v_summary_seq integer;
begin
  select * into v_conversation from conversations
  where id = p_conversation_id and user_id = p_user_id and not hidden for no key update;
  if not found then
    return jsonb_build_object('outcome', 'conversation_not_found');
  end if;
  if p_message_id is null then
    select * into v_message from messages
    where conversation_id = p_conversation_id and status <> 'abandoned' order by position desc, seq desc limit 1;
  else
    select * into v_message from messages
    where id = p_message_id and conversation_id = p_conversation_id and status <> 'abandoned';
    if not found then
      return jsonb_build_object('outcome', 'message_not_found');
    end if;
  end if;
  select count(*), (array_agg(run_id order by position))[1] into v_count, v_active from (
    select run_id, position from runs
    where conversation_id = p_conversation_id and status in ('queued', 'running') and position <= v_message.position
    union all
    select null, position from turns
    where conversation_id = p_conversation_id and state = 'dispatching' and position <= v_message.position) unfinished;
  if v_count > 0 then
    return jsonb_build_object('outcome', 'busy', 'activeRunId', v_active);
  end if;
  select count(*) into v_count from (
    select from messages where conversation_id = p_conversation_id and status <> 'abandoned'
      and (position, seq) <= (v_message.position, v_message.seq) limit p_limit + 1) counted;
  if v_count > p_limit then
    return jsonb_build_object('outcome', 'too_long');
  end if;
  insert into conversations (id, user_id, title, metadata, characters_per_token, agent)
  values (p_new_id, p_user_id, v_conversation.title, v_conversation.metadata, v_conversation.characters_per_token,
    v_conversation.agent);
  insert into messages (id, conversation_id, position, seq, role, text, parts, status, finish_reason)
  select gen_random_uuid(), p_new_id, 0, (row_number() over (order by position, seq) - 1)::integer, role, text,
    case finish_reason when 'action_required' then closed_parts(parts) else parts end, status, finish_reason
  from messages where conversation_id = p_conversation_id and status <> 'abandoned'
    and (position, seq) <= (v_message.position, v_message.seq);
  -- A summary that reaches no further than the copies stands for their beginning, too.
  select count(*) - 1 into v_summary_seq from messages
  where conversation_id = p_conversation_id and status <> 'abandoned' and (position, seq) <= (
    (v_conversation.summary->>'position')::integer, (v_conversation.summary->>'seq')::integer);
  update conversations c set summary = v_conversation.summary
    || jsonb_build_object('through', m.id, 'position', 0, 'seq', v_summary_seq)
  from messages m
  where c.id = p_new_id and m.conversation_id = p_new_id and m.position = 0 and m.seq = v_summary_seq
    and ((v_conversation.summary->>'position')::integer, (v_conversation.summary->>'seq')::integer)
      <= (v_message.position, v_message.seq);
  perform note_event('conversation.created', p_user_id, p_new_id, jsonb_build_object('forkedFrom', p_conversation_id));
  return jsonb_build_object('outcome', 'forked');
end $$;
