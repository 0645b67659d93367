import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { USER } from '../parts/rows.ts'
import type { Trial } from './trial.ts'

const WAITERS = 5_000
/** Number of connections that are opened at the same time. */
const OPENING = 100

/** Measures five thousand long polls, each of which waits for its own run. */
export const waiters: Trial = {
  name: '5,000 long polls',
  async run({ service, databaseUrl, authorization, ms }) {
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    const agent = new Agent({ keepAlive: true, maxSockets: WAITERS })
    const ids = Array.from({ length: WAITERS }, (_, n) => `run_waited${n}`)
    try {
      await client.query(
        `with turn as (
           insert into turns (id, user_id, state, run_id)
           select gen_random_uuid(), $1, 'started', id from unnest($2::text[]) id returning id, run_id)
         insert into runs (id, turn_id, run_id, user_id, status, check_at, deadline_at)
         select gen_random_uuid(), id, run_id, $1, 'running', now() + interval '1 hour', now() + interval '1 hour'
         from turn`,
        [USER, ids],
      )
      await client.query('analyze runs')
      const before = await service.memory()
      let answered = 0
      const answers = ids.map((id, n) => async () => {
        await sleep(Math.floor(n / OPENING) * 20)
        const request = get(`${service.url}/api/agent/chat/${id}?wait=30`, {
          agent,
          headers: { authorization },
        })
        const [response] = await once(request, 'response')
        response.resume()
        await once(response, 'end')
        answered++
      })
      const all = Promise.all(answers.map((ask) => ask()))
      await sleep((WAITERS / OPENING) * 20 + 1_000)
      const [cpu, memory] = [await service.cpu(), await service.memory()]
      await sleep(ms)
      const used = (await service.cpu()) - cpu
      const early = answered
      const plan = await client.query(
        `explain (analyze, format json) select run_id, status, cancel_requested_at from runs where run_id = any($1)`,
        [ids],
      )
      await client.query(
        `update runs set status = 'completed', finished_at = now(), check_at = null where run_id = any($1)`,
        [ids],
      )
      const since = performance.now()
      await all
      return {
        'answered too early': String(early),
        'CPU of the service while they wait': `${((used / (ms * 1000)) * 100).toFixed(1)} % of a core`,
        'the query of all waits in Postgres': `${plan.rows[0]['QUERY PLAN'][0]['Execution Time'].toFixed(1)} ms`,
        'memory of a wait': `${((memory - before) / WAITERS / 1024).toFixed(0)} KiB`,
        'all answered after the ends': `${(performance.now() - since).toFixed(0)} ms`,
      }
    } finally {
      agent.destroy()
      await client.query(`delete from runs where run_id like 'run_waited%'`)
      await client.query(`delete from turns where run_id like 'run_waited%'`)
      await client.end()
    }
  },
}
