import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

const BEFORE = `
  insert into conversations (id, user_id) values ('${id(1)}', 'alice');
  insert into turns (id, conversation_id, user_id, state, run_id, position, input)
    values ('${id(2)}', '${id(1)}', 'alice', 'started', 'run_1', 1, '{}');
  insert into runs (id, turn_id, run_id, conversation_id, position, user_id, status, deadline_at)
    values ('${id(3)}', '${id(2)}', 'run_1', '${id(1)}', 1, 'alice', 'running', now());
  insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
    values ('${id(4)}', '${id(1)}', '${id(2)}', 1, 0, 'user', 'Hi', '[]');
`
const finalize = (facts: object) => `
  select finalize_run('run_1', 'completed', '{"id": "${id(5)}", "parts": []}', '', null, null, null, 1, false, null, null,
    false, '${JSON.stringify(facts)}') as done`
const CONTEXT = `select turn_context('${id(1)}', 9, 50, 100000) as context`

test('conversations get a summary, and lose it when the migration is taken back', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const one = async (statement: string) => (await client.query(statement)).rows[0]
  try {
    while (!(await migrateDown(url)).includes('0009_summaries'));
    await client.query(BEFORE)
    t.same(Object.keys((await one(CONTEXT)).context).sort(), ['ahead', 'history'])

    await migrate(url)
    t.match((await one(CONTEXT)).context, { window: null, omitted: 0 })
    // An instance of the version before ends runs without a window.
    const window = {
      summary: { text: 'Hi', messages: 1, dropped: 0, through: [id(4)] },
      charactersPerToken: 3,
    }
    t.equal((await one(finalize({ window }))).done, true)
    t.match((await one(CONTEXT)).context, {
      history: [],
      window: { summary: { text: 'Hi', position: 1, seq: 1 } },
    })

    while (!(await migrateDown(url)).includes('0009_summaries'));
    t.equal((await one(CONTEXT)).context.history.length, 2, 'all messages are there')
    t.equal((await one(finalize({}))).done, false)
  } finally {
    await client.end()
  }
})
