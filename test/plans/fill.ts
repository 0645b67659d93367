import type pg from 'pg'

/**
 * How many conversations there are. A tenth of them, with their runs, belong to one user, who was not active in the last
 * fifth of the time: what walks the newest rows of all users in search of those of one user walks far.
 */
export interface Scale {
  conversations: number
  /** Turns of one conversation that is too long to be deleted at once. */
  longTurns: number
}

export const HEAVY_USER = 'heavy'
const TURNS = 5
/** The last turns of the newest conversations, and of the newest ones of that user, have not ended. */
const UNFINISHED = 2_000

const TABLES = [
  'conversations',
  'turns',
  'runs',
  'messages',
  'superseded_messages',
  'run_labels',
  'webhook_deliveries',
  'feed_events',
  'actions',
]

/** A uuid v7 of the moment `at`, the same for the same `seed`. */
const idOf = (at: string, seed: string) => `(
  lpad(to_hex((extract(epoch from ${at}) * 1000)::bigint), 12, '0') || '7' || substr(md5(${seed}), 1, 3)
  || '8' || substr(md5(${seed}), 4, 15))::uuid`

/**
 * Fills a migrated database: five turns in each conversation, each with its run and two messages, the newest an hour
 * old; and one conversation of very many turns. Indexes are built afterwards.
 */
export async function fill(client: pg.Client, scale: Scale, note: (line: string) => void): Promise<void> {
  const run = async (what: string, statement: string) => {
    const since = performance.now()
    await client.query(statement)
    note(`${what}: ${((performance.now() - since) / 1_000).toFixed(0)} s`)
  }
  await client.query(`set synchronous_commit = off; set maintenance_work_mem = '1GB'; set work_mem = '256MB'`)
  const rebuild = await dropIndexes(client)
  // What is filled in has happened long ago: no trigger notes it.
  for (const table of TABLES) await client.query(`alter table ${table} disable trigger user`)
  for (const table of ['deletions', ...TABLES]) await client.query(`alter table ${table} set unlogged`)
  await run('conversations', conversations(scale))
  await run('turns', TURNS_OF_CONVERSATIONS)
  await run('runs', RUNS)
  await run('messages', MESSAGES)
  await run('labels', LABELS)
  await run('deliveries', DELIVERIES)
  await run('events of the feed', EVENTS)
  await run('actions', ACTIONS)
  await run(
    'deletions',
    `insert into deletions (conversation_id) select gen_random_uuid() from generate_series(1, 50)`,
  )
  await run('the long conversation', longConversation(scale))
  for (const statement of rebuild) await run(statement.slice(0, 80), statement)
  for (const table of TABLES) await client.query(`alter table ${table} enable trigger user`)
  await run('statistics', 'vacuum analyze')
}

/** Drops all indexes and foreign keys of the big tables. @returns what makes them anew */
async function dropIndexes(client: pg.Client): Promise<string[]> {
  const { rows: constraints } = await client.query<{
    table: string
    name: string
    definition: string
    type: string
  }>(
    `select conrelid::regclass::text as table, conname as name, pg_get_constraintdef(oid) as definition, contype as type
     from pg_constraint where conrelid::regclass::text = any($1) and contype in ('p', 'u', 'f') order by contype = 'f' desc`,
    [TABLES],
  )
  for (const { table, name } of constraints)
    await client.query(`alter table ${table} drop constraint ${name}`)
  const { rows: indexes } = await client.query<{ name: string; definition: string }>(
    `select indexname as name, indexdef as definition from pg_indexes
     where schemaname = 'public' and tablename = any($1)`,
    [TABLES],
  )
  for (const { name } of indexes) await client.query(`drop index ${name}`)
  return [
    ...constraints
      .toReversed()
      .map(({ table, name, definition }) => `alter table ${table} add constraint ${name} ${definition}`),
    ...indexes.map(({ definition }) => definition),
  ]
}

const conversations = (scale: Scale) => `
  create table made as
    select n, ${idOf('at', `'c' || n`)} as id, case when is_heavy then '${HEAVY_USER}' else 'user' || (n % 5000) end as user_id,
      case when n / 8 % 4 = 1 then 'support' else 'default' end as agent,
      at, ${scale.conversations} - n < ${UNFINISHED} or is_heavy and ${0.8 * scale.conversations} - n < ${UNFINISHED} as is_busy
    from (select n, now() - interval '1 hour' - (${scale.conversations} - n) * interval '3 seconds' as at,
            n % 8 = 0 and n <= ${0.8 * scale.conversations} as is_heavy
          from generate_series(1, ${scale.conversations}) n) moments;
  insert into conversations (id, user_id, agent, title, next_position, created_at, updated_at, last_activity_at)
    select id, user_id, agent, 'Title ' || n, ${TURNS + 1}, at, at, at + interval '1 minute' from made`

const TURNS_OF_CONVERSATIONS = `
  create table placed as
    select made.*, position, ${idOf('at', `'t' || n || '-' || position`)} as turn_id,
      ${idOf(`at + position * interval '10 seconds'`, `'r' || n || '-' || position`)} as row_id,
      'run_c' || lpad(n::text, 12, '0') || lpad(position::text, 12, '0') as run_id,
      case when n % 2 = 0 then '{"app": "web"}' else '{"app": "mobile"}' end::jsonb
        || case when n % 1000 = 0 then jsonb_build_object('order', n::text) else '{}' end as metadata
    from made, generate_series(1, ${TURNS}) position;
  insert into turns (id, conversation_id, user_id, agent, state, run_id, position, input, metadata, idempotency_key, request_hash,
      dispatched_at, created_at)
    select turn_id, id, user_id, agent, 'started', run_id, position,
      jsonb_build_object('message', jsonb_build_object('id', 'a', 'role', 'user', 'text', 'some words', 'parts', '[]'::jsonb),
        'newConversation', position = 1, 'assistantMessageId', row_id),
      metadata, case when position = 1 then 'key-' || n end, case when position = 1 then 'hash' end, at, at
    from placed`

const RUNS = `
  insert into runs (id, turn_id, run_id, conversation_id, user_id, agent, status, position, output, error_code, error, usage, metadata,
      frame_count, check_at, deadline_at, created_at, started_at, finished_at)
    select row_id, turn_id, run_id, id, user_id, agent, status, position,
      case when status = 'completed' then jsonb_build_object('id', row_id, 'role', 'assistant', 'parts',
        '[{"type": "text", "text": "an answer of some words"}]'::jsonb) end,
      case when status = 'failed' then 'crashed' end, case when status = 'failed' then 'It crashed.' end,
      '{"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}', metadata, 20,
      case when status = 'running' then now() + interval '1 hour' end, at + interval '1 hour', at, at,
      case when status <> 'running' then at + interval '10 seconds' end
    from (select *, case when is_busy and position = ${TURNS} then 'running'
                         when (n * ${TURNS} + position) % 50 = 0 then 'failed'
                         when (n * ${TURNS} + position) % 99991 = 0 then 'cancelled' else 'completed' end as status
          from placed) ended`

const MESSAGES = `
  insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts, status, created_at)
    select ${idOf('created_at', `'m' || seq || run_id`)}, conversation_id, turn_id, position, seq,
      case seq when 0 then 'user' else 'assistant' end, 'some words of a message, not very long',
      '[{"type": "text", "text": "some words of a message, not very long"}]',
      case when seq = 1 and status in ('failed', 'cancelled') then status else 'complete' end, created_at
    from runs, generate_series(0, 1) seq where seq = 0 or finished_at is not null`

const LABELS = `
  insert into run_labels (label, id)
    select label, id from runs, unnest(labels_of_run(user_id, agent, metadata)) label`

/** Deliveries of every fifth run. Of every thousandth one, the delivery is pending, and half of those are due. */
const DELIVERIES = `
  insert into webhook_receivers (name, settings, events, digest) values ('shop', 'x', '{run.completed,run.failed}', 'x');
  insert into webhook_deliveries (id, target, event, user_id, conversation_id, run_id, status, attempts, due_at, created_at)
    select ${idOf('finished_at', `'d' || run_id`)}, 'shop', 'run.' || status, user_id, conversation_id, run_id,
      case when n % 1000 = 0 then 'pending' else 'delivered' end, 1,
      case when n % 2000 = 0 then now() - interval '1 minute' when n % 1000 = 0 then now() + interval '1 hour' end, created_at
    from (select *, row_number() over (order by id) as n from runs where finished_at is not null) ended
    where n % 5 = 0`

/** Events of every tenth run, in transactions of ten. */
const EVENTS = `
  insert into feed_events (xid, type, user_id, conversation_id, data, created_at)
    select (n / 100 + 1)::text::xid8, 'run.completed', user_id, conversation_id, jsonb_build_object('runId', run_id), finished_at
    from (select *, row_number() over (order by id) as n from runs where finished_at is not null) ended
    where n % 10 = 0 order by n`

/** An action of every fiftieth run. A tenth of them wait, and a tenth of those are overdue. */
const ACTIONS = `
  insert into actions (id, turn_id, run_id, user_id, conversation_id, place, kind, tool_call_id, tool_name, args, args_hash,
      status, decided_at, created_at, expires_at)
    select ${idOf('finished_at', `'a' || run_id`)}, turn_id, run_id, user_id, conversation_id, 0, 'approval', 'call', 'send_note',
      '{}', 'hash', case when n % 500 = 0 then 'pending' else 'approved' end, case when n % 500 <> 0 then finished_at end,
      finished_at, case when n % 5000 = 0 then now() - interval '1 minute' else now() + interval '1 day' end
    from (select *, row_number() over (order by id) as n from runs where status = 'completed') ended
    where n % 50 = 0`

const longConversation = ({ longTurns }: Scale) => `
  insert into conversations (id, user_id, title, next_position)
    values ('00000000-0000-7000-8000-000000000001', 'patient', 'Long', ${longTurns + 1});
  insert into turns (id, conversation_id, user_id, state, run_id, position, metadata)
    select ${idOf('now()', `'long' || n`)}, '00000000-0000-7000-8000-000000000001', 'patient', 'started', 'run_long' || n, n, '{"of": "long"}'
    from generate_series(1, ${longTurns}) n;
  insert into runs (id, turn_id, run_id, conversation_id, user_id, status, position, metadata, deadline_at, finished_at)
    select id, id, run_id, conversation_id, user_id, 'completed', position, metadata, now(), now()
    from turns where user_id = 'patient';
  insert into run_labels (label, id) select run_label('patient', 'of', 'long'), id from turns where user_id = 'patient';
  insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
    select gen_random_uuid(), conversation_id, id, position, seq, case seq when 0 then 'user' else 'assistant' end, 'x', '[]'
    from turns, generate_series(0, 1) seq where user_id = 'patient';
  insert into superseded_messages (id, conversation_id, turn_id, position, seq, role, text, parts, status, superseded_by)
    select gen_random_uuid(), conversation_id, id, position, 1, 'assistant', 'x', '[]', 'complete', id
    from turns, generate_series(1, 2) again where user_id = 'patient';
  insert into superseded_messages (id, conversation_id, turn_id, position, seq, role, text, parts, status, superseded_by)
    select gen_random_uuid(), conversation_id, id, position, 1, 'assistant', 'x', '[]', 'complete', id
    from turns where position = 2`

export const LONG_CONVERSATION = '00000000-0000-7000-8000-000000000001'
