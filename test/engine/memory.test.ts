import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { startProcess } from '../support/process.ts'

const ALIVE = fileURLToPath(new URL('./alive.ts', import.meta.url))

interface Report {
  seen: number
  alive: number
  heapMb: number
}

/** What a process says that passes many values through an iterator of the adapter: early and late. */
async function reportsOf(t: Parameters<typeof startProcess>[0], iterator: string) {
  const child = startProcess(t, [process.execPath, '--expose-gc', ALIVE, iterator])
  await child.ended
  const [early, late] = child
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Report)
  if (early === undefined || late === undefined) throw new Error(child.output())
  return { early, late }
}

test('a stream that is read keeps nothing that it has yielded', async (t) => {
  const { early, late } = await reportsOf(t, 'chunks')
  t.comment({ early, late })
  t.equal(late.seen, 200)
  t.ok(late.alive <= 20, `${late.alive} of ${late.seen} chunks are alive`)
})

test('a subscription keeps nothing of the runs that have ended', async (t) => {
  const { early, late } = await reportsOf(t, 'changes')
  t.comment({ early, late })
  t.equal(late.seen, 2_000)
  t.ok(late.alive <= 250, `${late.alive} of ${late.seen} changes are alive`)
  // The rows of the 950 runs that have ended in between are 19 MB.
  t.ok(late.heapMb - early.heapMb < 10, `${early.heapMb} MB of heap have become ${late.heapMb} MB`)
})
