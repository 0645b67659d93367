import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** What an instance of the version before has left: an unfinished run, and a turn that is being dispatched. */
const BEFORE = `
  insert into turns (id, user_id, state, run_id, check_at) values
    ('${id(11)}', 'alice', 'started', 'run_a', null), ('${id(12)}', 'alice', 'dispatching', null, now());
  insert into runs (id, turn_id, run_id, user_id, status, deadline_at) values
    ('${id(31)}', '${id(11)}', 'run_a', 'alice', 'running', now());
`

test('runs and turns that were started without a reservation end without one', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  const undo = async () => {
    while (!(await migrateDown(url)).includes('0011_budgets'));
  }
  try {
    await undo()
    await client.query(BEFORE)
    await migrate(url)
    const usage = `'{"totalTokens": 7}'`
    await client.query(
      `select finalize_run('run_a', 'completed', null, '', ${usage}, null, null, 0, false, null, null, false)`,
    )
    await client.query(`select remove_turn('${id(12)}')`)
    t.same(await rows('select from budget_days'), [])
    t.same(await rows('select id, status from runs'), [{ id: id(31), status: 'completed' }])

    await client.query(`select settle_budget('{"day": "2026-01-01", "user": "alice", "tokens": 5}', 3)`)
    t.same(await rows('select from budget_days'), [], 'a day that has expired is settled without a trace')
    const reserve = (tokens: number, user: number) =>
      client.query('select reserve_budget($1) as reserved', [
        { userId: 'alice', actor: null, budget: { perRun: tokens, user, actor: 1 } },
      ])
    t.match((await reserve(6, 10)).rows[0].reserved, { tokens: 6, user: 'alice' })
    t.match((await reserve(6, 10)).rows[0].reserved, { outcome: 'budget_exhausted', scope: 'user' })
    t.match((await reserve(60, 20)).rows[0].reserved, { outcome: 'budget_exhausted' })
    t.same(await rows('select reserved::integer, used::integer from budget_days'), [{ reserved: 6, used: 0 }])

    await undo()
    t.same(await rows('select id, status from runs'), [{ id: id(31), status: 'completed' }])
    await migrate(url)
  } finally {
    await client.end()
  }
})
