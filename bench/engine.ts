/**
 * Process: measures the local engine, which runs in a process of its own, with the tasks of its tests and with the agent.
 * Resident memory is read from /proc, so that part needs Linux.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { configure, runs, tasks } from '@trigger.dev/sdk'
import { openProcess } from '../test/local/engine/process.ts'

const SECRET = 'tr_dev_bench'
const RUNS = 300
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))

async function openEngine(taskModule: string) {
  const from = performance.now()
  const engine = await openProcess({ taskModules: [taskModule], secretKey: SECRET })
  return { ...engine, startMs: performance.now() - from, pids: [engine.pid, ...(await engine.children())] }
}

function residentMiB(pid: number): number {
  if (!existsSync(`/proc/${pid}/status`)) return Number.NaN
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Milliseconds from the trigger call to the event of the completed run, for one run after the other. */
async function latencies(count: number): Promise<number[]> {
  const tag = `bench-${Date.now()}`
  const ends = new Map<string, (at: number) => void>()
  const stop = new AbortController()
  const subscribed = (async () => {
    for await (const run of runs.subscribeToRunsWithTag(tag, { createdAt: '1h' }, { signal: stop.signal })) {
      if (run.status === 'COMPLETED') ends.get(run.id)?.(performance.now())
    }
  })().catch(() => undefined)
  const all: number[] = []
  for (let n = 0; n < count; n++) {
    const from = performance.now()
    const { id } = await tasks.trigger('echo', { n }, { tags: tag })
    const ended = new Promise<number>((resolve) => ends.set(id, resolve))
    all.push((await ended) - from)
  }
  stop.abort()
  await subscribed
  return all.sort((a, b) => a - b)
}

const at = (sorted: number[], part: number) =>
  (sorted[Math.floor(sorted.length * part)] ?? Number.NaN).toFixed(1)

async function perSecond(
  count: number,
  atOnce: number,
  call: (n: number) => Promise<unknown>,
): Promise<string> {
  let next = 0
  const from = performance.now()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await call(next++)
    }),
  )
  return (count / ((performance.now() - from) / 1000)).toFixed(0)
}

const row = (name: string, value: string) => console.log(`${name.padEnd(52)} ${value}`)

for (const [name, module] of [
  ['test tasks', '../test/local/engine/tasks/basic.ts'],
  ['the agent', '../src/trigger/agent-chat.ts'],
] as const) {
  const engine = await openEngine(file(module))
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const each = engine.pids.map(residentMiB)
  row(`start until tasks are loaded, ${name}`, `${engine.startMs.toFixed(0)} ms`)
  row(`idle memory of engine + warm child, ${name}`, `${each.map((mib) => mib.toFixed(0)).join(' + ')} MiB`)
  await engine.stop()
}

const engine = await openEngine(file('../test/local/engine/tasks/basic.ts'))
configure({ baseURL: engine.url, accessToken: SECRET })
await latencies(20)
const sorted = await latencies(RUNS)
row(
  'trigger to completed, warm, p50 / p95 / p99',
  `${at(sorted, 0.5)} / ${at(sorted, 0.95)} / ${at(sorted, 0.99)} ms`,
)
const { id } = await tasks.trigger('echo', 1)
row('retrieve, 20 at once', `${await perSecond(1000, 20, () => runs.retrieve(id))} / s`)
row('trigger, 20 at once', `${await perSecond(1000, 20, (n) => tasks.trigger('echo', { n }))} / s`)
await engine.stop()
