import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually, runToEnd } from './conformance/suite.ts'
import { openEngine } from './helper.ts'

const MESSY = fileURLToPath(new URL('./tasks/messy.ts', import.meta.url))

t.test('the output that runs print is bounded', async (t) => {
  const engine = await openEngine(t, { taskModules: [MESSY], maxChildren: 1 })
  const DROPPED = 'the run printed more than 1000 lines or 1 MiB: the rest is not logged'

  t.test('by lines, and the rest is dropped with one sentence', async (t) => {
    await runToEnd('chatty', { lines: 5_000 })
    const messages = await eventually(
      async () => engine.lines.map(({ message }) => message),
      (all) => all.filter((message) => message === DROPPED).length === 2,
    )
    t.equal(messages.filter((message) => message.startsWith('console ')).length, 1_000)
    t.equal(messages.filter((message) => message.startsWith('stdout ')).length, 1_000)
  })

  t.test('each run may print anew, and a line without an end is cut', async (t) => {
    engine.lines.length = 0
    await runToEnd('endless-line', { bytes: 64 * 1024 * 1024 })
    const [cut, after] = await eventually(
      async () => engine.lines.map(({ message }) => message),
      (all) => all.length >= 2,
    )
    t.equal(cut, 'x'.repeat(8192))
    t.equal(after, 'after it')
  })
})

t.test(
  'a run whose process takes more memory than it may have ends, and the log says why',
  { skip: process.platform !== 'linux' && 'only Linux shows how much it takes' },
  async (t) => {
    const maxChildMemoryBytes = 256 * 1024 * 1024
    const engine = await openEngine(t, { taskModules: [MESSY], maxChildren: 1, maxChildMemoryBytes })
    const run = await runToEnd('buffers', {})
    t.match(run, { status: 'CRASHED', error: { message: /TASK_PROCESS_OOM_KILLED/ } })
    const line = engine.lines.find(({ fields }) => fields.runId === run.id)
    t.match(line, {
      level: 'warn',
      message: /^the local engine ends a run: .* more memory than it may have$/,
    })
    t.equal((await runToEnd('whereabouts')).status, 'COMPLETED', 'the next run has a new process')
  },
)
