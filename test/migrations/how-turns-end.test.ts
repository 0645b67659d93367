import pg from 'pg'
import { test } from 'tap'
import { migrate, migrateDown } from '../../src/stores/migrations.ts'
import { createDatabase } from '../support/postgres.ts'

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** What an instance of the version before has left: two completed runs, a failed one and an unfinished one. */
const BEFORE = `
  insert into turns (id, user_id, actor, state, run_id)
  select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'alice',
    case n when 1 then 'gateway, shop' end, 'started', 'run_' || n
  from generate_series(1, 4) n;
  insert into runs (id, turn_id, run_id, user_id, status, usage, deadline_at, finished_at) values
    ('${id(11)}', '${id(1)}', 'run_1', 'alice', 'completed',
      '{"inputTokens": 2, "outputTokens": 1, "totalTokens": 3, "model": "m"}', now(), '2026-11-01T23:30:00Z'),
    ('${id(12)}', '${id(2)}', 'run_2', 'alice', 'completed',
      '{"inputTokens": 5, "outputTokens": 5, "totalTokens": 10, "model": "m", "estimated": true}', now(),
      '2026-11-01T00:30:00Z'),
    ('${id(13)}', '${id(3)}', 'run_3', 'alice', 'failed', null, now(), '2026-11-01T12:00:00Z'),
    ('${id(14)}', '${id(4)}', 'run_4', 'alice', 'running', null, now(), null);
`

/** Takes back this migration and those after it. */
async function undo(url: string): Promise<void> {
  while (!(await migrateDown(url)).includes('0007_how_turns_end'));
}

test('runs that ended before keep their model and their actor, and are part of the usage', async (t) => {
  const url = await createDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async (statement: string) => (await client.query(statement)).rows
  try {
    await undo(url)
    await client.query(BEFORE)
    const old = 'select id, run_id, status, usage from runs order by id'
    const before = await rows(old)

    await migrate(url)
    t.same(await rows('select actor, facts, usage from runs order by id limit 1'), [
      {
        actor: 'gateway, shop',
        facts: { model: 'm' },
        usage: { inputTokens: 2, outputTokens: 1, totalTokens: 3 },
      },
    ])
    t.same(
      await rows(`select user_id, day::text, agent, model, completed, failed, cancelled, input_tokens::integer,
        output_tokens::integer, total_tokens::integer, estimated from usage_days order by model`),
      [
        {
          ...{ user_id: 'alice', day: '2026-11-01', agent: 'default', model: '', completed: 0, failed: 1 },
          ...{ cancelled: 0, input_tokens: 0, output_tokens: 0, total_tokens: 0, estimated: 0 },
        },
        {
          ...{ user_id: 'alice', day: '2026-11-01', agent: 'default', model: 'm', completed: 2, failed: 0 },
          ...{ cancelled: 0, input_tokens: 7, output_tokens: 6, total_tokens: 13, estimated: 1 },
        },
      ],
    )
    // An instance of the version before ends a run without facts.
    await client.query(
      `select finalize_run('run_4', 'completed', null, '', null, null, null, 0, false, null, null, false)`,
    )
    t.same(await rows(`select sum(completed)::integer as completed from usage_days`), [{ completed: 3 }])

    await undo(url)
    t.same((await rows(old)).slice(0, 3), before.slice(0, 3))
    await migrate(url)
  } finally {
    await client.end()
  }
})
