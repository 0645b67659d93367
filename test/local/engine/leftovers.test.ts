import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { processesWith } from '../../support/process.ts'
import { eventually, runToEnd, unique } from './conformance/suite.ts'
import { isAlive, openEngine } from './helper.ts'
import { leftovers, programs } from './tasks/messy.ts'

const MESSY = fileURLToPath(new URL('./tasks/messy.ts', import.meta.url))

const pidOf = async (task = 'whereabouts'): Promise<number> =>
  ((await runToEnd(task, {})).output as unknown as { pid: number }).pid

t.test('a process in which a run has left something behind is not used again', async (t) => {
  // The variable is in the environment of everything that the engine starts.
  const childEnv = { ENGINE: unique(), TZ: 'UTC' }
  const engine = await openEngine(t, { taskModules: [MESSY], maxChildren: 1, childEnv })
  const found = async (runId: string): Promise<string[]> => {
    const lines = await eventually(
      async () => engine.lines.filter(({ fields }) => fields.runId === runId && 'leftovers' in fields),
      (some) => some.length > 0,
    )
    return lines[0]?.fields.leftovers as string[]
  }
  let last = await pidOf()

  t.test('a run that used the network, the console and a stream leaves nothing', async (t) => {
    for (let n = 0; n < 3; n++) t.equal(await pidOf('tidy'), last)
    await runToEnd('failing', { isMeant: true })
    t.equal(await pidOf(), last, 'nor does one that aborts itself')
  })

  t.test('state that all runs of a process share', async (t) => {
    const { id, status } = await runToEnd('messy', {})
    t.equal(status, 'COMPLETED')
    t.same((await found(id)).sort(), leftovers.toSorted())
    const next = await pidOf()
    t.not(next, last)
    last = next
  })

  t.test('an error that the task did not mean to throw', async (t) => {
    const { id } = await runToEnd('failing', { isMeant: false })
    t.same(await found(id), ['an error that the task did not mean to throw'])
    const next = await pidOf()
    t.not(next, last)
    last = next
  })

  for (const program of programs) {
    t.test(
      `a program ${program}`,
      { skip: process.platform !== 'linux' && 'only Linux shows them' },
      async (t) => {
        const { id, output } = await runToEnd('starter', { program })
        t.match(await found(id), ['programs that were started'])
        const { pid } = output as unknown as { pid?: number }
        const sleeps = (ids: string[]) => ids.filter((one) => processesWith('sleep\x300').includes(one))
        const left = await eventually(
          async () => sleeps(processesWith(childEnv.ENGINE)),
          (pids) => pids.length === 0,
        )
        t.same(left, [])
        if (pid !== undefined) {
          await eventually(
            async () => isRunning(pid),
            (running) => !running,
          )
        }
      },
    )
  }
})

/** A dead process that its new parent has not collected yet does not run. */
function isRunning(pid: number): boolean {
  if (!isAlive(pid)) return false
  const state = execFileSync('sh', ['-c', `cut -d' ' -f3 /proc/${pid}/stat 2>/dev/null || true`]).toString()
  return state.trim() !== '' && state.trim() !== 'Z'
}
