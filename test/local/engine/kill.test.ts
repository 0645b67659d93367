import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { configure, runs } from '@trigger.dev/sdk'
import t from 'tap'
import { eventually, get, start } from './conformance/suite.ts'
import { isAlive, SECRET } from './helper.ts'

/** Each round kills nine children and their engine. A round takes seconds; five make fifty kills. */
const ENGINES = Number(process.env.ENGINE_KILL_ROUNDS ?? 2)
const KILLS_PER_ENGINE = 9
const RUNS_PER_ENGINE = 24
const FINAL = ['COMPLETED', 'CRASHED', 'CANCELED', 'SYSTEM_FAILURE']

const SCRIPT = fileURLToPath(new URL('./engine-process.ts', import.meta.url))
const TALLY = fileURLToPath(new URL('./tasks/tally.ts', import.meta.url))

/** An engine in a process of its own, without what tap adds to the environment: starts are many here. */
async function openProcess() {
  const child: ChildProcess = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, SCRIPT, SECRET, TALLY])
  const lines: Interface = createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> })
  const report = async (): Promise<{ url: string; pids: number[] }> =>
    JSON.parse((await once(lines, 'line'))[0])
  const { url } = await report()
  const children = async () => {
    child.stdin?.write('\n')
    return (await report()).pids
  }
  return { url, children, kill: () => child.kill('SIGKILL'), exited: once(child, 'exit') }
}

const pick = <T>(values: T[]): T | undefined => values[Math.floor(Math.random() * values.length)]

t.test(
  'processes that are killed at any moment lose runs, but repeat none and leave nothing behind',
  async (t) => {
    const file = join(t.testdir(), 'tally')
    writeFileSync(file, '')
    let kills = 0

    for (let n = 0; n < ENGINES; n++) {
      const engine = await openProcess()
      t.teardown(() => engine.kill())
      configure({ baseURL: engine.url, accessToken: SECRET, requestOptions: { retry: { maxAttempts: 1 } } })
      const ids = await Promise.all(
        Array.from({ length: RUNS_PER_ENGINE }, (_, run) =>
          start('tally', { file, ms: 5 * run }, { concurrencyKey: `lane ${run % 8}` }),
        ),
      )
      await runs.cancel(ids[5] ?? '')
      for (let kill = 0; kill < KILLS_PER_ENGINE; kill++) {
        await sleep(50 + Math.random() * 150)
        const pid = pick(await eventually(engine.children, (pids) => pids.length > 0))
        if (pid && isAlive(pid)) process.kill(pid, 'SIGKILL')
        kills++
      }
      const isLast = n === ENGINES - 1
      if (isLast) {
        for (const id of ids) t.ok(FINAL.includes((await eventually(() => get(id), isFinal)).status))
        const completed = await Promise.all(ids.map(get))
        for (const { id, status } of completed)
          if (status === 'COMPLETED') t.equal(count(file, `done ${id}`), 1)
      }
      const pids = await engine.children()
      engine.kill()
      kills++
      await engine.exited
      t.same(
        await eventually(
          async () => pids.filter(isAlive),
          (alive) => alive.length === 0,
        ),
        [],
        'no child outlives its engine',
      )
    }

    t.equal(kills, ENGINES * (KILLS_PER_ENGINE + 1))
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
    t.ok(lines.length > 0)
    t.same(lines.length, new Set(lines).size, 'no run has begun twice or completed twice')
  },
)

const isFinal = ({ status }: { status: string }) => FINAL.includes(status)
const count = (file: string, line: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((other) => other === line).length
