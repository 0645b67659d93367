import t, { test } from 'tap'
import { tell } from '../support/figures.ts'
import { createDatabase } from '../support/postgres.ts'
import { startProcess } from '../support/process.ts'
import { startEngine } from '../support/service.ts'
import type { Plan } from './heap.ts'

const MIB = 1024 * 1024
const MAX_GROWN = 10 * MIB

/** `npm run test:heap` does all of it; the short form still sends every kind of request, more than any pool keeps. */
const isLong = process.env.HEAP === 'long'
const COUNTS = isLong
  ? { pipelined: 500, refused: 1_000, accepted: 1_000, streams: 5_000, keySets: 3 }
  : { pipelined: 500, refused: 40, accepted: 24, streams: 200, keySets: 1 }

interface Line {
  name: string
  count: number
  grown: number
  before: number
  rss: number
  result?: Record<string, number>
}

if (isLong) t.setTimeout(60 * 60_000)

test('no request, no body, no stream and no key set is kept once it is answered', async (t) => {
  const engine = await startEngine(t)
  const plan: Plan = {
    ...COUNTS,
    databaseUrl: await createDatabase(t),
    engine: { url: engine.url, secretKey: engine.secretKey },
  }
  const running = startProcess(t, [
    process.execPath,
    '--expose-gc',
    '--max-old-space-size=1500',
    'test/plugins/heap.ts',
    JSON.stringify(plan),
  ])
  const lines: Line[] = []
  for (const name of Object.keys(COUNTS)) {
    const [text] = await running.line(new RegExp(`^{"name":"${name}".*`))
    const line = JSON.parse(text) as Line
    lines.push(line)
    const { count, grown, before, rss } = line
    const figures = `${count} ${name}: ${mib(before)} MiB of heap have grown by ${mib(grown)} MiB; rss ${mib(rss)} MiB`
    tell(t, figures, isLong)
    t.ok(grown < MAX_GROWN, figures)
  }
  for (const [name, right] of [
    ['refused', /^4/],
    ['accepted', /^20/],
  ] as const) {
    const { count = 0, result = {} } = lines.find((line) => line.name === name) ?? {}
    const others = Object.entries(result).filter(([outcome]) => !right.test(outcome))
    tell(t, `${name}: ${JSON.stringify(result)}`, isLong)
    // Sixteen such bodies at once may keep a busy machine from its database for longer than a call waits.
    t.ok(
      others.every(([outcome, times]) => outcome.startsWith('503') && times <= count / 10),
      `${name} as meant`,
    )
  }
})

const mib = (bytes: number) => (bytes / MIB).toFixed(1)
