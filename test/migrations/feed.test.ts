import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** What an instance of the version before has left: a run that waits. */
const BEFORE = `
  insert into conversations (id, user_id, title, next_position) values ('${id(1)}', 'alice', 'Hello', 2);
  insert into turns (id, conversation_id, user_id, state, run_id, position, input) values
    ('${id(11)}', '${id(1)}', 'alice', 'started', 'run_1', 1, '{"assistantMessageId": "${id(31)}"}');
  insert into runs (id, turn_id, run_id, conversation_id, user_id, status, position, deadline_at)
    values ('${id(21)}', '${id(11)}', 'run_1', '${id(1)}', 'alice', 'queued', 1, now())`

/** The statement with which an instance of the version before notes that a run executes. */
const MARK = `update runs set status = 'running', started_at = now() where run_id = 'run_1' and status = 'queued'`

async function undo(url: string): Promise<void> {
  while (!(await migrateDown(url)).includes('0013_feed'));
}

test('what instances of the version before do is part of the feed, and the migration can be taken back', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  try {
    await undo(url)
    await client.query(BEFORE)
    await migrate(url)
    t.same(await rows('select from feed_events'), [], 'the past is not told')
    await client.query(MARK)
    await client.query(
      `select finalize_run('run_1', 'failed', null, '', null, 'crashed', null, 0, false, null, null, false, null)`,
    )
    await client.query(`select delete_conversation('alice', '${id(1)}', 100)`)
    t.same(
      (await rows('select type from feed_events order by xid, id')).map(({ type }) => type),
      ['run.started', 'run.failed', 'message.stored', 'conversation.deleted'],
    )
    await undo(url)
    t.same(await rows(`select tgname from pg_trigger where tgname like 'note_%'`), [])
    t.same(await rows('select run_id, status from runs'), [{ run_id: 'run_1', status: 'failed' }])
    await client.query(`insert into conversations (id, user_id, title) values ('${id(2)}', 'alice', 'More')`)
    t.same(await rows(`select delete_conversation('alice', '${id(2)}', 100) as active`), [{ active: [] }])
    await migrate(url)
  } finally {
    await client.end()
  }
})
