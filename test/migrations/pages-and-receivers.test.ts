import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

async function undo(url: string): Promise<void> {
  while (!(await migrateDown(url)).includes('0014_pages_and_receivers'));
}

test('the endpoints of the version before keep getting events, and are still switched off', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  const deliver = () => client.query(`select write_deliveries('run.failed', 'alice', null, 'run_1', null)`)
  try {
    await undo(url)
    await client.query(`insert into webhook_endpoints (name, events, digest, off_at) values
      ('shop', '{run.failed}', 'x', null), ('off', '{run.failed}', 'y', now()), ('other', '{run.completed}', 'z', null)`)
    await deliver()
    await migrate(url)
    await deliver()
    t.same(
      await rows('select target, status, attempts_before from webhook_deliveries order by target desc'),
      [
        { target: 'shop', status: 'pending', attempts_before: 0 },
        { target: 'shop', status: 'pending', attempts_before: 0 },
        { target: 'off', status: 'failed', attempts_before: 0 },
        { target: 'off', status: 'failed', attempts_before: 0 },
      ],
    )
    t.same(await rows(`select name from webhook_receivers where seen_at < now() + interval '50 minutes'`), [])
    await undo(url)
    await deliver()
    t.same(await rows('select count(*)::integer as count from webhook_deliveries'), [{ count: 6 }])
    await migrate(url)
  } finally {
    await client.end()
  }
})
