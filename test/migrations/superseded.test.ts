import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** What an instance of the version before has left: a turn with its answer, and one that is being dispatched. */
const BEFORE = `
  insert into conversations (id, user_id, title, next_position) values ('${id(1)}', 'alice', 'Old', 3);
  insert into turns (id, conversation_id, user_id, state, run_id, position, input, check_at) values
    ('${id(11)}', '${id(1)}', 'alice', 'started', 'run_a', 1,
      '{"message": {"id": "${id(21)}", "role": "user", "text": "hi", "parts": []}, "newConversation": true}', null),
    ('${id(12)}', '${id(1)}', 'alice', 'dispatching', null, 2, '{"newConversation": false}', now());
  insert into runs (id, turn_id, run_id, conversation_id, user_id, status, position, deadline_at, finished_at) values
    ('${id(31)}', '${id(11)}', 'run_a', '${id(1)}', 'alice', 'completed', 1, now(), now());
  insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts) values
    ('${id(21)}', '${id(1)}', '${id(11)}', 1, 0, 'user', 'hi', '[]'),
    ('${id(22)}', '${id(1)}', '${id(11)}', 1, 1, 'assistant', 'hello', '[]'),
    ('${id(23)}', '${id(1)}', '${id(12)}', 2, 0, 'user', 'more', '[]');
`

/** Takes back this migration and those after it. */
async function undo(url: string): Promise<void> {
  while (!(await migrateDown(url)).includes('0010_superseded'));
}

test('turns that are there can be answered again, and the answers that stand survive the way back', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  const retry = (turn: number) => ({
    ...{
      turnId: id(turn),
      userId: 'alice',
      conversationId: id(2),
      newConversation: false,
      ifBusy: 'enqueue',
    },
    ...{
      retryOf: 'run_a',
      assistantMessageId: id(turn + 100),
      leaseSeconds: 13,
      queueLimit: 10,
      editLimit: 500,
    },
    ...{ maxMessages: 50, maxBytes: 10_000 },
  })
  const start = async (turn: number) =>
    (await client.query('select start_turn($1) as outcome', [retry(turn)])).rows[0].outcome
  try {
    await undo(url)
    await client.query(BEFORE)
    const old = 'select id, state, run_id, position from turns order by id'
    const before = await rows(old)

    await migrate(url)
    t.match(await start(13), { outcome: 'not_last' }, 'a turn stands behind it')
    await client.query(`select remove_turn('${id(12)}')`)
    t.match(await start(13), { outcome: 'created', position: 1, superseded: [], message: { text: 'hi' } })
    await client.query(`select record_run('${id(13)}', 'run_b', '${id(32)}', false, 100)`)
    await client.query(
      `select finalize_run('run_b', 'completed', '{"id": "${id(24)}", "parts": []}', 'once more', null, null, null, 0, false, null, null, false)`,
    )
    const thread = 'select text, position, seq from messages order by position, seq'
    t.same(await rows(thread), [
      { text: 'hi', position: 1, seq: 0 },
      { text: 'once more', position: 1, seq: 1 },
    ])
    t.match(await rows('select text, superseded_by from superseded_messages'), [
      { text: 'hello', superseded_by: id(13) },
    ])
    t.same(await rows('select run_id, position, retry_of, superseded_by from runs order by run_id'), [
      { run_id: 'run_a', position: null, retry_of: null, superseded_by: 'run_b' },
      { run_id: 'run_b', position: 1, retry_of: 'run_a', superseded_by: null },
    ])

    await undo(url)
    t.same(await rows(old), [{ ...before[0], id: id(13), run_id: 'run_b' }])
    t.equal((await rows(thread)).length, 2)
    await migrate(url)
    t.same(await rows('select reservation from turns'), [{ reservation: null }])
  } finally {
    await client.end()
  }
})

test('the messages that have left their thread have the columns of those that stand there', async (t) => {
  const client = new pg.Client({ connectionString: await createDatabase(t) })
  await client.connect()
  const columns = async (table: string) =>
    (
      await client.query<{ name: string }>(
        `select column_name || ' ' || data_type as name from information_schema.columns where table_name = $1`,
        [table],
      )
    ).rows
      .map(({ name }) => name)
      .sort()
  try {
    const superseded = await columns('superseded_messages')
    t.same(
      superseded.filter((name) => name !== 'superseded_by uuid'),
      await columns('messages'),
    )
  } finally {
    await client.end()
  }
})
