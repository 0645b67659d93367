import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** What an instance of the version before has left: one run of every status, and a start of every fate. */
const BEFORE = `
  insert into conversations (id, user_id, title, next_position) values ('${id(1)}', 'alice', 'Old', 4);
  insert into runs (id, run_id, conversation_id, user_id, actor, status, position, input, output, metadata,
    idempotency_key, request_hash, check_at, deadline_at, finished_at)
  values
    ('${id(11)}', 'run_a', '${id(1)}', 'alice', 'gateway', 'completed', 1,
      '{"message":{"id":"m","text":"hi"},"conversationId":"${id(1)}","newConversation":true,"assistantMessageId":"a"}',
      '{"id":"a","role":"assistant","parts":[]}', '{"tenant":"x"}', 'key-a', 'hash-a', null, now(), now()),
    ('${id(12)}', 'run_b', '${id(1)}', 'alice', null, 'running', 2, '{"conversationId":"${id(1)}","newConversation":false}', null, '{}', null, null,
      now(), now() + interval '1 hour', null),
    ('${id(13)}', null, '${id(1)}', 'alice', null, 'dispatching', 3, '{"conversationId":"${id(1)}","newConversation":false}', null, '{}', null, null,
      now(), now() + interval '1 hour', null),
    ('${id(14)}', null, '${id(1)}', 'alice', null, 'abandoned', 4, '{"conversationId":"${id(1)}","newConversation":false}', null, '{}', 'key-d',
      'hash-d', now(), now() + interval '1 hour', null);
  insert into messages (id, conversation_id, run_id, position, seq, role, text, parts) values
    ('${id(21)}', '${id(1)}', null, 0, 0, 'user', 'seed', '[]'),
    ('${id(22)}', '${id(1)}', '${id(11)}', 1, 0, 'user', 'hi', '[]'),
    ('${id(23)}', '${id(1)}', '${id(11)}', 1, 1, 'assistant', 'hello', '[]'),
    ('${id(24)}', '${id(1)}', '${id(12)}', 2, 0, 'user', 'more', '[]');
`

/** Takes back this migration and those after it. */
async function undo(url: string): Promise<void> {
  while (!(await migrateDown(url)).includes('0006_turns_and_runs'));
}

test('a database of the version before keeps all that it holds, and can be taken back', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  try {
    await undo(url)
    await client.query(BEFORE)
    const old =
      'select id, run_id, status, position, idempotency_key, actor, input, metadata from runs order by id'
    const before = await rows(old)

    await migrate(url)
    t.same(await rows('select id, state, run_id, position, idempotency_key, actor from turns order by id'), [
      {
        id: id(11),
        state: 'started',
        run_id: 'run_a',
        position: 1,
        idempotency_key: 'key-a',
        actor: 'gateway',
      },
      { id: id(12), state: 'started', run_id: 'run_b', position: 2, idempotency_key: null, actor: null },
      { id: id(13), state: 'dispatching', run_id: null, position: 3, idempotency_key: null, actor: null },
      { id: id(14), state: 'abandoned', run_id: null, position: null, idempotency_key: 'key-d', actor: null },
    ])
    t.same(await rows('select turn_id, run_id, status, position, metadata from runs order by id'), [
      { turn_id: id(11), run_id: 'run_a', status: 'completed', position: 1, metadata: { tenant: 'x' } },
      { turn_id: id(12), run_id: 'run_b', status: 'running', position: 2, metadata: {} },
    ])
    t.same(await rows(`select id from run_labels where label = run_label('alice', 'tenant', 'x')`), [
      { id: id(11) },
    ])
    t.same(await rows('select turn_id from messages order by id'), [
      { turn_id: null },
      { turn_id: id(11) },
      { turn_id: id(11) },
      { turn_id: id(12) },
    ])

    await undo(url)
    const again = await rows(old)
    // An abandoned turn had no place that anything could be found at.
    t.same(again.slice(0, 3), before.slice(0, 3))
    t.match(again[3], { id: id(14), status: 'abandoned', idempotency_key: 'key-d', run_id: null })
    t.equal((await rows('select from messages')).length, 4)
    await migrate(url)
  } finally {
    await client.end()
  }
})
