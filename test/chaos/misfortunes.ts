import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Instance } from './cluster.ts'
import { type Kill, killEngine, killWorker } from './kills.ts'

type Strike = (cluster: Cluster, instance: Instance, random: () => number) => Promise<Kill | undefined>

const WORKER_KILLS = 3

const STRIKES = {
  async 'kill an instance'(_cluster, instance, random) {
    await instance.process.kill()
    await sleep(500 + random() * 2_000)
    await instance.process.start()
  },
  async 'freeze an instance'(_cluster, { process }) {
    process.freeze()
    await sleep(3_500)
    process.thaw()
  },
  'kill the engine': (cluster) => killEngine(cluster),
  async 'kill a worker'(cluster, _instance, random) {
    for (let attempt = 1; ; attempt++) {
      const workers = cluster.engine.workers()
      const pid = workers[Math.floor(random() * workers.length)]
      const kill = pid === undefined ? undefined : await killWorker(cluster, pid)
      // The death of a worker that executes no run changes nothing, so another worker is killed.
      if (kill?.runId !== undefined || attempt === WORKER_KILLS) return kill
    }
  },
  async 'restart Postgres'(cluster) {
    await cluster.restartPostgres()
  },
  async 'cut the database off'(_cluster, { database }) {
    await database.cut()
    await sleep(2_500)
    await database.mend()
  },
  async 'hang the database'(_cluster, { database }) {
    database.toxics.hang = true
    await sleep(3_500)
    await database.mend()
  },
  async 'swallow the answers of the database'(_cluster, { database }) {
    database.toxics.swallowAnswers = true
    await sleep(3_500)
    await database.mend()
  },
  async 'slow the database'(_cluster, { database }) {
    database.toxics.delayMs = 80
    await sleep(3_000)
    await database.mend()
  },
  async 'cut the engine off'(_cluster, { engine }) {
    await engine.cut()
    await sleep(2_500)
    await engine.mend()
  },
  async 'hang the engine'(_cluster, { engine }) {
    engine.toxics.hang = true
    await sleep(3_500)
    await engine.mend()
  },
  async 'swallow the answers of the engine'(_cluster, { engine }) {
    engine.toxics.swallowAnswers = true
    await sleep(3_500)
    await engine.mend()
  },
  async 'slow the engine'(_cluster, { engine }) {
    engine.toxics.delayMs = 80
    await sleep(3_000)
    await engine.mend()
  },
} satisfies Record<string, Strike>

export type Misfortune = keyof typeof STRIKES

export const MISFORTUNES = Object.keys(STRIKES) as Misfortune[]

/** The death of the engine ends all its runs, so it happens less often than the other misfortunes. */
const MAX_ENGINE_KILLS = 2

export interface MisfortuneOptions {
  /** These misfortunes, in this order. Absent: all of them, in any order. */
  chosen?: Misfortune[]
  /** Milliseconds between two misfortunes, on average. */
  everyMs: number
  random: () => number
  /** No misfortune begins after this moment. */
  until: number
}

/** Brings misfortunes upon a cluster, one after the other, each on one instance that chance chooses. */
export function misfortunes(
  cluster: Cluster,
  { chosen, everyMs, random, until }: MisfortuneOptions,
): {
  counts: Map<Misfortune, number>
  kills: Kill[]
  /** Whether each misfortune has happened. */
  complete(): boolean
  /** Plays rounds of misfortunes until a round is complete and `enough` returns true. */
  run(enough: () => boolean): Promise<void>
} {
  const all = chosen ?? MISFORTUNES
  const counts = new Map<Misfortune, number>()
  const kills: Kill[] = []
  const complete = () => all.every((name) => counts.has(name))

  async function strike(name: Misfortune): Promise<void> {
    const instance = cluster.instances[Math.floor(random() * cluster.instances.length)] as Instance
    if (process.env.CHAOS_LOG) console.error(new Date().toISOString(), name)
    const kill = await (STRIKES[name] as Strike)(cluster, instance, random)
    if (kill !== undefined) kills.push(kill)
    counts.set(name, (counts.get(name) ?? 0) + 1)
    if (process.env.CHAOS_LOG) console.error(new Date().toISOString(), 'over')
  }

  async function round(enough: () => boolean): Promise<void> {
    for (const name of chosen ?? shuffled(all, random)) {
      await sleep(everyMs * (0.5 + random()))
      if (Date.now() > until || (complete() && enough())) return
      if (name === 'kill the engine' && (counts.get(name) ?? 0) >= MAX_ENGINE_KILLS) continue
      await strike(name)
    }
  }

  return {
    counts,
    kills,
    complete,
    async run(enough) {
      do await round(enough)
      while (Date.now() < until && !enough())
    },
  }
}

function shuffled<T>(items: T[], random: () => number): T[] {
  const left = [...items]
  return items.flatMap(() => left.splice(Math.floor(random() * left.length), 1))
}
