import { setTimeout as sleep } from 'node:timers/promises'
import { type CallerLog, converse } from './callers.ts'
import { check, type Kill } from './checker.ts'
import type { Cluster, Instance } from './cluster.ts'
import { MUTATION_COUNT, unseenMutations } from './mutations.ts'
import type { Report } from './report.ts'

export interface LoadOptions {
  threads: number
  turns: number
  parallel: number
  seconds: number
  seed: number
  /** Milliseconds between two misfortunes. */
  everyMs: number
  misfortunes?: Misfortune[]
}

export type Misfortune = keyof typeof MISFORTUNES

/** After an engine's death its runs are found lost within a minute, and finished at that time. */
const LOST_GRACE_MS = 90_000
const SETTLE_MS = 120_000

const MISFORTUNES = {
  async 'kill an instance'(_cluster: Cluster, instance: Instance, random: () => number) {
    await instance.process.kill()
    await sleep(500 + random() * 2_000)
    await instance.process.start()
  },
  async 'kill the engine'(cluster: Cluster) {
    await cluster.engine.process.kill()
    await cluster.engine.process.start()
  },
  async 'kill a worker'(cluster: Cluster, _instance: Instance, random: () => number) {
    const workers = cluster.engine.workers()
    const pid = workers[Math.floor(random() * workers.length)]
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  },
  async 'restart Postgres'(cluster: Cluster) {
    await cluster.restartPostgres()
  },
  async 'cut the database off'(_cluster: Cluster, { database }: Instance) {
    await database.cut()
    await sleep(2_500)
    await database.mend()
  },
  async 'hang the database'(_cluster: Cluster, { database }: Instance) {
    database.toxics.hang = true
    await sleep(3_500)
    await database.mend()
  },
  async 'slow the database'(_cluster: Cluster, { database }: Instance) {
    database.toxics.delayMs = 80
    await sleep(3_000)
    await database.mend()
  },
  async 'cut the engine off'(_cluster: Cluster, { engine }: Instance) {
    await engine.cut()
    await sleep(2_500)
    await engine.mend()
  },
  async 'hang the engine'(_cluster: Cluster, { engine }: Instance) {
    engine.toxics.hang = true
    await sleep(3_500)
    await engine.mend()
  },
  async 'swallow the answers of the engine'(_cluster: Cluster, { engine }: Instance) {
    engine.toxics.swallowAnswers = true
    await sleep(3_500)
    await engine.mend()
  },
}

/** Conversations through misfortunes: afterwards all that was accepted is there once, in order, and ended. */
export async function runLoad(cluster: Cluster, options: LoadOptions, report: Report): Promise<void> {
  const random = seeded(options.seed)
  const kills: Kill[] = []
  const counts = new Map<string, number>()
  const until = Date.now() + options.seconds * 1_000
  let over = false

  const trouble = (async () => {
    const names = options.misfortunes ?? (Object.keys(MISFORTUNES) as Misfortune[])
    let round: Misfortune[] = []
    while (!over && Date.now() < until) {
      await sleep(options.everyMs * (0.5 + random()))
      if (over) break
      // Each once in turn, in a new order every round; an engine's death costs all its runs, so it is rarer.
      if (round.length === 0) round = [...names]
      const [name] = round.splice(Math.floor(random() * round.length), 1) as [Misfortune]
      if (name === 'kill the engine' && (counts.get(name) ?? 0) >= 2) continue
      const instance = cluster.instances[Math.floor(random() * cluster.instances.length)] as Instance
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (name === 'kill the engine') kills.push({ at: Date.now(), graceMs: LOST_GRACE_MS })
      if (name === 'kill a worker') kills.push({ at: Date.now(), graceMs: 1_000 })
      if (process.env.CHAOS_LOG) console.error(new Date().toISOString(), name)
      await MISFORTUNES[name](cluster, instance, random)
      if (process.env.CHAOS_LOG) console.error(new Date().toISOString(), 'over')
      if (name === 'kill the engine') kills.push({ at: Date.now(), graceMs: LOST_GRACE_MS })
    }
  })()
  const startedAt = performance.now()
  const log = await converse(cluster, { ...options, until, random })
  const seconds = (performance.now() - startedAt) / 1_000
  over = true
  if (process.env.CHAOS_LOG) console.error(new Date().toISOString(), 'callers are done')
  await trouble
  await cluster.mend()

  const settledIn = await settled(cluster)
  const client = await cluster.connect()
  try {
    const violations = await check(client, log, kills)
    const { rows } = await client.query<{ status: string; n: number }>(
      `select case when status = 'failed' then error_code else status end as status, count(*)::int n
       from runs group by 1 order by 2 desc`,
    )
    const threads = new Set(log.accepted.map(({ thread }) => thread)).size
    report.note(
      `${threads} conversations, ${log.accepted.length} turns accepted in ${seconds.toFixed(0)} s, ${log.requests} requests, ${log.retried} repeated`,
    )
    report.note(`misfortunes: ${[...counts].map(([name, n]) => `${n} × ${name}`).join(', ')}`)
    report.note(
      `runs: ${rows.map(({ status, n }) => `${n} ${status}`).join(', ')}; the last one ended ${settledIn} s after the last misfortune`,
    )
    const deaths = cluster.instances.reduce((sum, instance) => sum + instance.process.deaths, 0)
    report.result(`no instance ended by itself (${deaths} did)`, deaths === 0)
    for (const { rule, what } of violations.slice(0, 10)) report.note(`violated: ${rule}: ${what}`)
    report.result(
      'every accepted start has one run, one end, one message in its place',
      violations.length === 0,
    )
    const unseen = await unseenMutations(client, log, kills)
    for (const name of unseen) report.note(`not seen: ${name}`)
    report.result(`the checker sees each of ${MUTATION_COUNT} broken rules`, unseen.length === 0)
  } finally {
    await client.end()
  }
}

/** Waits until nothing is unfinished any more. @returns seconds */
async function settled(cluster: Cluster): Promise<number> {
  const client = await cluster.connect()
  const startedAt = Date.now()
  try {
    while (Date.now() - startedAt < SETTLE_MS) {
      const { rows } = await client.query(
        `select count(*)::int n from runs where status in ('dispatching', 'queued', 'running')
         or (status = 'abandoned' and check_at is not null)`,
      )
      if (rows[0].n === 0) break
      await sleep(250)
    }
  } finally {
    await client.end()
  }
  return Math.round((Date.now() - startedAt) / 1_000)
}

export type { CallerLog }

/** A small generator of random numbers that gives the same ones for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296
  }
}
