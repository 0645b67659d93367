import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { type Answer, type Cluster, type Instance, request } from './cluster.ts'
import type { Report } from './report.ts'

/** A statement of the victim waits behind this advisory lock, which the test holds. */
const GATE = 4711

interface Stage {
  cluster: Cluster
  /** The instance that dies or hangs. */
  victim: Instance
  /** Another one, which repairs and is asked. */
  witness: Instance
  client: pg.Client
  report: Report
}

interface Death {
  name: string
  /** Seconds within which it must be repaired. */
  within: number
  /** Does the damage; resolves when it is done, with what tells that it is repaired. */
  happen(stage: Stage): Promise<() => Promise<boolean>>
}

const start = (instance: Instance, body: object, key?: string): Promise<Answer> =>
  request(instance, 'POST', '/api/agent/chat', { body, ...(key === undefined ? {} : { key }) })

const statusOf = async ({ witness }: Stage, runId: string): Promise<string> =>
  (await request(witness, 'GET', `/api/agent/chat/${runId}`)).body.status

async function until(condition: () => Promise<boolean>, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) if (await condition()) return true
  return false
}

async function nothingLeft({ client }: Stage, message: string): Promise<boolean> {
  const { rows } = await client.query(
    `select (select count(*) from messages where text = $1) + (select count(*) from runs
       where input->'message'->>'text' = $1 and not (status = 'abandoned' and idempotency_key is not null)) as n`,
    [message],
  )
  return Number(rows[0].n) === 0
}

/** Makes the statement that sets this wait, lets `act` begin it, and kills the victim in the middle of it. */
async function killWithin(stage: Stage, when: string, act: () => Promise<unknown>): Promise<void> {
  const { client, victim, cluster } = stage
  const holder = await cluster.connect()
  await client.query(
    `create or replace function gate() returns trigger language plpgsql as $$ begin
       perform pg_advisory_xact_lock(${GATE}); return new; end $$`,
  )
  await client.query(
    `create trigger gate before insert or update on runs for each row when (${when}) execute function gate()`,
  )
  try {
    await holder.query(`select pg_advisory_lock(${GATE})`)
    const acting = act().catch(() => undefined)
    await until(async () => {
      const { rows } = await client.query(
        `select pid from pg_locks where locktype = 'advisory' and objid = ${GATE} and not granted`,
      )
      return rows.length > 0
    }, 20_000)
    await victim.process.kill()
    await acting
    await client.query(
      `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = ${GATE} and not granted`,
    )
  } finally {
    await client.query('drop trigger gate on runs')
    await holder.end()
  }
}

const STORY = 'Tell a story with 60 sentences.'

/** The table of deaths: who dies or hangs at which step, and how long until all is as if nothing had happened. */
const DEATHS: Death[] = [
  {
    name: 'the service dies before the turn is stored',
    within: 5,
    async happen(stage) {
      const message = `before ${randomUUID()}`
      await killWithin(stage, `new.status = 'dispatching'`, () => start(stage.victim, { message }))
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'the service dies before the dispatch (no key: the turn goes)',
    within: 20,
    async happen(stage) {
      const message = `undispatched ${randomUUID()}`
      stage.victim.engine.toxics.hang = true
      const asked = start(stage.victim, { message }).catch(() => undefined)
      await until(async () => !(await nothingLeft(stage, message)), 10_000)
      await stage.victim.process.kill()
      await asked
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'the service dies before the dispatch (with a key: the retry has its run)',
    within: 25,
    async happen(stage) {
      const message = `undispatched ${randomUUID()}`
      stage.victim.engine.toxics.hang = true
      const asked = start(stage.victim, { message }, message).catch(() => undefined)
      await until(async () => !(await nothingLeft(stage, message)), 10_000)
      await stage.victim.process.kill()
      await asked
      return async () => {
        const { status, body } = await start(stage.witness, { message }, message)
        return status === 202 && (await statusOf(stage, body.runId)) === 'completed'
      }
    },
  },
  {
    name: 'a turn waits behind one whose service died',
    within: 8,
    async happen(stage) {
      const first = await start(stage.witness, { message: 'hello' })
      const { conversationId } = first.body
      const message = `undispatched ${randomUUID()}`
      stage.victim.engine.toxics.hang = true
      const asked = start(stage.victim, { message, conversationId }).catch(() => undefined)
      await until(async () => !(await nothingLeft(stage, message)), 10_000)
      await stage.victim.process.kill()
      await asked
      return async () => {
        const { status } = await start(stage.witness, {
          message: 'What was my last message?',
          conversationId,
        })
        return status === 202
      }
    },
  },
  {
    name: 'the engine takes the run and its answer is lost (503; no key: run stopped, turn gone)',
    within: 20,
    async happen(stage) {
      const message = `${STORY} ${randomUUID()}`
      stage.victim.engine.toxics.swallowAnswers = true
      const answer = await start(stage.victim, { message })
      if (answer.status !== 503) throw new Error(`answered ${answer.status}`)
      await stage.victim.engine.mend()
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'the same with a key: the retry finds the run',
    within: 5,
    async happen(stage) {
      const message = `found ${randomUUID()}`
      stage.victim.engine.toxics.swallowAnswers = true
      const answer = await start(stage.victim, { message }, message)
      if (answer.status !== 503) throw new Error(`answered ${answer.status}`)
      await stage.victim.engine.mend()
      return async () => {
        const { status, body } = await start(stage.witness, { message }, message)
        return status === 202 && (await statusOf(stage, body.runId)) === 'completed'
      }
    },
  },
  {
    name: 'the service dies after the dispatch, before the run id is stored',
    within: 20,
    async happen(stage) {
      const message = `unrecorded ${randomUUID()}`
      await killWithin(stage, 'new.run_id is not null', () => start(stage.victim, { message }, message))
      return async () => {
        const { rows } = await stage.client.query(`select status from runs where idempotency_key = $1`, [
          message,
        ])
        return rows[0]?.status === 'completed'
      }
    },
  },
  {
    name: 'the database goes away in a start (202 without conversation)',
    within: 10,
    async happen(stage) {
      await stage.victim.database.cut()
      const answer = await start(stage.victim, { message: 'What is 3 + 4?' })
      if (answer.status !== 202) throw new Error(`answered ${answer.status}`)
      await stage.victim.database.mend()
      return async () => (await statusOf(stage, answer.body.runId)) === 'completed'
    },
  },
  {
    name: 'the same, and the service dies before the database is back',
    within: 75,
    async happen(stage) {
      await stage.victim.database.cut()
      const answer = await start(stage.victim, { message: 'What is 3 + 5?' })
      if (answer.status !== 202) throw new Error(`answered ${answer.status}`)
      await stage.victim.process.kill()
      await stage.victim.database.mend()
      return async () => (await statusOf(stage, answer.body.runId)) === 'completed'
    },
  },
  {
    name: 'the service dies while its run goes on (events lost)',
    within: 65,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: 'What is 8 * 8?' })
      await stage.victim.process.kill()
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the service dies while it writes the end',
    within: 65,
    async happen(stage) {
      let runId = ''
      await killWithin(stage, `new.status = 'completed'`, async () => {
        runId = (await start(stage.victim, { message: 'What is 9 * 9?' })).body.runId
      })
      return async () => (await statusOf(stage, runId)) === 'completed'
    },
  },
  {
    name: 'the service dies after it accepted a cancel',
    within: 15,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: STORY })
      stage.victim.engine.toxics.hang = true
      const asked = request(stage.victim, 'POST', `/api/agent/chat/${body.runId}/cancel`).catch(
        () => undefined,
      )
      await until(async () => {
        const { rows } = await stage.client.query(
          'select from runs where run_id = $1 and cancel_requested_at is not null',
          [body.runId],
        )
        return rows.length > 0
      }, 10_000)
      await stage.victim.process.kill()
      await asked
      return async () => (await statusOf(stage, body.runId)) === 'cancelled'
    },
  },
  {
    name: 'a worker is killed',
    within: 5,
    async happen(stage) {
      const { body } = await start(stage.witness, { message: STORY })
      await until(async () => (await statusOf(stage, body.runId)) === 'running', 20_000)
      for (const pid of stage.cluster.engine.workers()) process.kill(pid, 'SIGKILL')
      return async () => (await statusOf(stage, body.runId)) === 'failed'
    },
  },
  {
    name: 'the engine is away past the deadline',
    within: 15,
    async happen(stage) {
      const { body } = await start(stage.witness, { message: STORY })
      await Promise.all(stage.cluster.instances.map(({ engine }) => engine.cut()))
      await stage.client.query(`update runs set deadline_at = now(), check_at = now() where run_id = $1`, [
        body.runId,
      ])
      return async () => (await statusOf(stage, body.runId)) === 'failed'
    },
  },
  {
    name: 'the engine is killed and starts anew',
    within: 65,
    async happen(stage) {
      const { body } = await start(stage.witness, { message: STORY })
      await stage.cluster.engine.process.kill()
      await stage.cluster.engine.process.start()
      return async () => (await statusOf(stage, body.runId)) === 'failed'
    },
  },
]

/** Plays the deaths whose names match and measures how long their repair takes. */
export async function runDeaths(cluster: Cluster, report: Report, chosen = /./): Promise<void> {
  const [victim, witness] = cluster.instances as [Instance, Instance]
  const client = await cluster.connect()
  try {
    for (const { name, within, happen } of DEATHS.filter((death) => chosen.test(death.name))) {
      const stage: Stage = { cluster, victim, witness, client, report }
      const isRepaired = await happen(stage)
      const startedAt = performance.now()
      const repaired = await until(() => isRepaired().catch(() => false), within * 1_000)
      const seconds = (performance.now() - startedAt) / 1_000
      report.result(
        `${name}: ${repaired ? `repaired after ${seconds.toFixed(1)} s` : 'not repaired'} (at most ${within} s)`,
        repaired,
      )
      await cluster.mend()
      if (victim.process.pid === undefined) await victim.process.start()
      // Connections to the process before are closed by now, but not all of them known to be.
      await until(
        async () => (await request(victim, 'GET', '/readyz').catch(() => undefined))?.status === 200,
        10_000,
      )
    }
    const { rows } = await client.query(
      `select count(*)::int n from runs where status in ('dispatching', 'queued', 'running')`,
    )
    const left = await until(async () => {
      const { rows } = await client.query(
        `select count(*)::int n from runs where status in ('dispatching', 'queued', 'running')`,
      )
      return rows[0].n === 0
    }, 60_000)
    report.result(`no run stays unfinished (${rows[0].n} were at the end)`, left)
  } finally {
    await client.end()
  }
}
