import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { configure, runs } from '@trigger.dev/sdk'
import t from 'tap'
import { processesWith } from '../../support/process.ts'
import { eventually, failureOf, get, start, unique } from './conformance/suite.ts'
import { type EngineProcess, openProcess } from './process.ts'

type Victim = 'engine' | 'child' | 'both'

/** `npm run test:kills` asks for fifty. */
const KILLS = Number(process.env.ENGINE_KILLS ?? 6)
const VICTIMS: Victim[] = ['engine', 'child', 'both']
const TASKS = ['quick', 'slow', 'keyed', 'failing', 'endless', 'streaming', 'begetting']
const AT_WORK = 16
const FINAL = ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELED', 'SYSTEM_FAILURE']
const MODULE = fileURLToPath(new URL('./tasks/tally.ts', import.meta.url))

const random = (below: number) => Math.floor(Math.random() * below)
const pick = <T>(values: T[]): T | undefined => values[random(values.length)]
const isFinal = ({ status }: { status: string }) => FINAL.includes(status)

t.setTimeout(60_000 + KILLS * 10_000)

t.test(
  'after a kill of the engine or a worker at any moment, no run is executed twice or left open, and no process stays',
  async (t) => {
    const file = join(t.testdir(), 'tally')
    writeFileSync(file, '')
    const linesOf = (kind: 'began' | 'done') =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith(kind))
    const secretKey = `tr_dev_${unique()}`
    const killed = { engine: 0, child: 0, both: 0 }
    const ends: Record<string, number> = {}
    const count = (end: string) => {
      ends[end] = (ends[end] ?? 0) + 1
    }
    const open = async () => {
      const engine = await openProcess({ taskModules: [MODULE], secretKey, maxChildren: 4 })
      const settings = { baseURL: engine.url, accessToken: secretKey }
      configure({ ...settings, requestOptions: { retry: { maxAttempts: 1 } } })
      return { ...engine, load: startLoad(file) }
    }

    let engine = await open()
    t.teardown(() => engine.kill())
    const former: Known[] = []
    for (const victim of shuffled(Array.from({ length: KILLS }, (_, n) => VICTIMS[n % 3] ?? 'both'))) {
      const before = linesOf('done').length
      await eventually(
        async () => linesOf('done').length,
        (now) => now > before,
      )
      await sleep(random(400))
      await kill(victim, engine)
      killed[victim]++
      if (victim === 'child') continue
      former.push(...(await engine.load.stop()))
      await eventually(
        async () => processesWith(secretKey),
        (left) => left.length === 0,
      )
      engine = await open()
    }

    // What remains of the last engine's runs ends by itself, but for those that never would.
    const last = await engine.load.stop()
    for (const { id, task } of last) if (task === 'endless') await runs.cancel(id)
    const completed: string[] = []
    for (const { id } of last) {
      const { status } = await eventually(() => get(id), isFinal)
      count(status)
      if (status === 'COMPLETED') completed.push(id)
    }
    // The sweep after a restart: a run of a former engine is known to be lost, which is an end.
    for (const { id } of former) {
      const { status, headers } = await failureOf(get(id))
      count(status === 404 && headers?.['x-run-lost'] === 'true' ? 'lost' : `status ${status}`)
    }
    await engine.stop()

    const done = linesOf('done')
    t.same(
      repeated([...linesOf('began'), ...done]),
      [],
      'no attempt has begun twice, no run has been done twice',
    )
    t.same(
      completed.filter((id) => !done.includes(`done ${id}`)),
      [],
      'what is completed has been done',
    )
    t.same(
      Object.keys(ends).filter((end) => end !== 'lost' && !FINAL.includes(end)),
      [],
      'every run has an end',
    )
    t.same(processesWith(secretKey), [], 'nothing is left')
    t.equal(killed.engine + killed.child + killed.both, KILLS)
    // For people who ask for many kills: what was tried.
    const known = former.length + last.length
    console.error(
      `kills: ${JSON.stringify(killed)}; runs: ${known}, done: ${done.length}, ends: ${JSON.stringify(ends)}`,
    )
  },
)

interface Known {
  id: string
  task: string
}

/** Keeps runs of all kinds at work, cancels some of them, and reads a stream now and then. */
function startLoad(file: string) {
  const known: Known[] = []
  const stopped = new AbortController()
  const isOver = () => stopped.signal.aborted
  const one = async (task: string) => {
    const id = await start(task, { file, ms: 20 + random(400) }, { concurrencyKey: `key ${random(3)}` })
    known.push({ id, task })
    if (task === 'endless' || random(8) === 0) {
      await sleep(random(300))
      await runs.cancel(id)
    }
    while (!isOver() && !isFinal(await get(id))) await sleep(25)
  }
  const workers = Array.from({ length: AT_WORK }, async (_, n) => {
    // A killed engine answers no request; the file holds the runs that it had accepted.
    for (let turn = n; !isOver(); turn++)
      await one(TASKS[turn % TASKS.length] ?? 'quick').catch(() => sleep(25))
  })
  return {
    /** Ends the load; returns the runs that it knows. */
    async stop(): Promise<Known[]> {
      stopped.abort()
      await Promise.all(workers)
      return known
    },
  }
}

/** Kills what is there, or throws, and waits until it is not there any more. */
async function kill(victim: Victim, engine: EngineProcess): Promise<void> {
  const children = await eventually(engine.children, (pids) => pids.length > 0)
  const child = pick(children) ?? 0
  const victims = { engine: [engine.pid], child: [child], both: shuffled([engine.pid, child]) }
  for (const pid of victims[victim]) process.kill(pid, 'SIGKILL')
  if (victim !== 'child') await engine.kill()
  await eventually(
    async () => processesWith(engine.secretKey).map(Number),
    (left) => !victims[victim].some((pid) => left.includes(pid)),
  )
}

function shuffled<T>(values: T[]): T[] {
  return values
    .map((value) => ({ value, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ value }) => value)
}

function repeated(lines: string[]): string[] {
  const seen = new Set<string>()
  return lines.filter((line) => seen.size === seen.add(line).size)
}
