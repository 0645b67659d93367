import pg from 'pg'
import { round } from '../parts/load.ts'
import { USER } from '../parts/rows.ts'
import type { Trial } from './trial.ts'

const RUNS = 10_000

/** Measures polls while ten thousand unfinished runs are due that the engine does not know. */
export const unfinished: Trial = {
  name: 'polls beside 10,000 unfinished runs',
  async run({ service, databaseUrl, authorization, rows, ms }) {
    const load = {
      method: 'GET' as const,
      path: `/api/agent/chat/${rows.small}`,
      headers: { authorization },
      status: 200,
    }
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    try {
      const alone = [await round(service, load, ms / 1000), await round(service, load, ms / 1000)]
      await client.query(
        `with turn as (
           insert into turns (id, user_id, state, run_id)
           select gen_random_uuid(), $1, 'started', 'run_lost' || n from generate_series(1, $2::integer) n
           returning id, run_id)
         insert into runs (id, turn_id, run_id, user_id, status, check_at, deadline_at)
         select gen_random_uuid(), id, run_id, $1, 'running', now(), now() + interval '1 hour' from turn`,
        [`${USER} of lost runs`, RUNS],
      )
      const beside = [await round(service, load, ms / 1000), await round(service, load, ms / 1000)]
      const { rows: left } = await client.query(
        `select count(*)::integer as runs from runs where run_id like 'run_lost%' and check_at is not null`,
      )
      const mean = (of: 'rate' | 'cpu', rounds: Array<{ rate: number; cpu: number }>) =>
        rounds.reduce((sum, one) => sum + one[of], 0) / rounds.length
      return {
        'polls a second alone': `${mean('rate', alone).toFixed(0)}, ${mean('cpu', alone).toFixed(0)} µs of CPU`,
        'beside the runs': `${mean('rate', beside).toFixed(0)}, ${mean('cpu', beside).toFixed(0)} µs of CPU`,
        ratio: (mean('rate', beside) / mean('rate', alone)).toFixed(2),
        'still unfinished': String(left[0].runs),
      }
    } finally {
      await client.query(`delete from runs where run_id like 'run_lost%'`)
      await client.query(`delete from turns where run_id like 'run_lost%'`)
      await client.end()
    }
  },
}
