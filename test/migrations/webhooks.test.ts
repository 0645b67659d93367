import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** What an instance of the version before has left: a run that goes on, and one that has ended. */
const BEFORE = `
  insert into conversations (id, user_id, title, next_position) values ('${id(1)}', 'alice', 'Hello', 3);
  insert into turns (id, conversation_id, user_id, state, run_id, position) values
    ('${id(11)}', '${id(1)}', 'alice', 'started', 'run_1', 1), ('${id(12)}', '${id(1)}', 'alice', 'started', 'run_2', 2);
  insert into runs (id, turn_id, run_id, conversation_id, user_id, status, position, deadline_at, finished_at) values
    ('${id(21)}', '${id(11)}', 'run_1', '${id(1)}', 'alice', 'completed', 1, now(), now()),
    ('${id(22)}', '${id(12)}', 'run_2', '${id(1)}', 'alice', 'running', 2, now(), null)`

const FINALIZE = (runId: string) =>
  `select finalize_run('${runId}', 'cancelled', null, '', null, null, null, 0, false, null, null, false, null)`

async function undo(url: string): Promise<void> {
  while (!(await migrateDown(url)).includes('0012_webhooks'));
}

test('runs that go on during the migration are reported, those that have ended are not, and it can be taken back', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  try {
    await undo(url)
    await client.query(BEFORE)
    await migrate(url)
    await client.query(
      `insert into webhook_receivers (name, settings, events, digest) values ('shop', 'x', '{run.cancelled}', 'x')`,
    )
    // An instance of the version before calls the same function.
    await client.query(FINALIZE('run_1'))
    await client.query(FINALIZE('run_2'))
    t.same(await rows('select run_id, target, event, status from webhook_deliveries'), [
      { run_id: 'run_2', target: 'shop', event: 'run.cancelled', status: 'pending' },
    ])
    t.same(await rows('select run_id, webhook from turns order by id'), [
      { run_id: 'run_1', webhook: null },
      { run_id: 'run_2', webhook: null },
    ])

    await undo(url)
    t.same(
      await rows(`select proname from pg_proc where proname in ('write_deliveries', 'deliver_run_end')`),
      [],
    )
    t.same(await rows('select run_id, status from runs order by id'), [
      { run_id: 'run_1', status: 'completed' },
      { run_id: 'run_2', status: 'cancelled' },
    ])
    await migrate(url)
    t.same(await rows('select count(*)::integer as count from webhook_deliveries'), [{ count: 0 }])
  } finally {
    await client.end()
  }
})
