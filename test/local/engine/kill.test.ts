import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { configure, runs } from '@trigger.dev/sdk'
import t from 'tap'
import { eventually, get, start } from './conformance/suite.ts'
import { isAlive, SECRET } from './helper.ts'
import { openProcess } from './process.ts'

/** Each round kills nine children and their engine. A round takes seconds; five make fifty kills. */
const ENGINES = Number(process.env.ENGINE_KILL_ROUNDS ?? 2)
const KILLS_PER_ENGINE = 9
const RUNS_PER_ENGINE = 24
const FINAL = ['COMPLETED', 'CRASHED', 'CANCELED', 'SYSTEM_FAILURE']

const TALLY = fileURLToPath(new URL('./tasks/tally.ts', import.meta.url))

const pick = <T>(values: T[]): T | undefined => values[Math.floor(Math.random() * values.length)]

t.test(
  'processes that are killed at any moment lose runs, but repeat none and leave nothing behind',
  async (t) => {
    const file = join(t.testdir(), 'tally')
    writeFileSync(file, '')
    let kills = 0

    for (let n = 0; n < ENGINES; n++) {
      const engine = await openProcess({ taskModules: [TALLY], secretKey: SECRET, maxChildren: 3 })
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
      await engine.kill()
      kills++
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
