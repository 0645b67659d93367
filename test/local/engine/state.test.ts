import t from 'tap'
import { delayEnd, durationMs } from '../../../src/local/engine/durations.ts'
import { newRun } from '../../../src/local/engine/new-run.ts'
import { Queues } from '../../../src/local/engine/queues.ts'
import type { Run } from '../../../src/local/engine/run.ts'
import { RunStore } from '../../../src/local/engine/store.ts'
import { RunStream } from '../../../src/local/engine/stream.ts'

let count = 0
function someRun(order: { queue?: string; concurrencyKey?: string; payload?: string } = {}): Run {
  const { payload: data, ...rest } = order
  const whole = {
    taskId: 'echo',
    payload: { data, dataType: 'text/plain' },
    tags: [],
    isTest: false,
    ...rest,
  }
  return newRun(`run_${++count}`, count, whole, undefined)
}
const finish = (store: RunStore, run: Run) => {
  run.state = 'COMPLETED_SUCCESSFULLY'
  run.completedAt = new Date()
  store.changed(run)
}

t.test('finished runs are dropped, oldest first, when there are too many or they are too big', async (t) => {
  const store = new RunStore({ ms: 60_000, runs: 3, bytes: 20_000 })
  const forgotten: string[] = []
  store.on('forget', (run) => forgotten.push(run.id))
  const [first, second, third, fourth] = [someRun(), someRun(), someRun(), someRun()]
  const alive = someRun({ payload: 'x'.repeat(100_000) })
  for (const run of [alive, first, second, third, fourth]) store.add(run)
  for (const run of [second, first, third, fourth]) finish(store, run)
  t.same(forgotten, [second.id], 'the one that finished first')
  const big = someRun({ payload: 'x'.repeat(15_000) })
  store.add(big)
  finish(store, big)
  t.same(forgotten, [second.id, first.id, third.id])
  t.same([...store.all()], [alive, fourth, big])
})

t.test(
  'a subscriber learns of every run that has changed since, each once, latest change last',
  async (t) => {
    const store = new RunStore({ ms: 60_000, runs: 10, bytes: 1e9 })
    const [first, second] = [someRun(), someRun()]
    store.add(first)
    store.add(second)
    const since = store.lastChange
    t.same(store.changedSince(since), [])
    store.changed(second)
    store.changed(first)
    store.changed(second)
    t.same(store.changedSince(since), [first, second])
    t.same(store.changedSince(-1), [first, second])
    for (let n = 0; n < 20_000; n++) store.changed(first)
    t.same(store.changedSince(since), [second, first], 'even when the changes in between are no longer kept')
  },
)

t.test('a stream with a limit of writes drops the oldest and keeps count', async (t) => {
  const stream = new RunStream({ maxBytes: 1000, counts: 'writes', maxEntries: 2 })
  stream.write(['1', '2'], '', 0)
  stream.write(['3'], '', 0)
  stream.write(['4', '5'], '', 0)
  t.same(
    stream.records.map(({ json }) => json),
    ['3', '4', '5'],
  )
  t.equal(stream.first, 2)
  t.equal(stream.end, 5)
  t.equal(stream.bytes, 3)
  t.throws(() => stream.write(['x'.repeat(1000)], '', 0), { message: 'The stream is full' })
  t.equal(stream.end, 5)
})

t.test('a lane gives as many runs a slot as its limit allows, while other runs end in any way', async (t) => {
  const queues = new Queues()
  queues.declare('one', 1)
  queues.declare('free', undefined)
  const lane = { queue: 'one', concurrencyKey: 'k' }
  const [first, second, third] = [someRun(lane), someRun(lane), someRun(lane)]
  const other = someRun({ queue: 'one', concurrencyKey: 'other' })
  for (const run of [first, second, third, other]) queues.enqueue(run)
  t.same([queues.next(), queues.next(), queues.next()], [first, other, undefined])
  queues.release(second)
  queues.release(second)
  t.equal(queues.ready, 0, 'one that only waited frees no slot')
  queues.release(first)
  queues.release(third)
  t.equal(queues.next(), undefined, 'one that had a slot and leaves before its start is not handed out')
  const many = Array.from({ length: 5 }, () => someRun({ queue: 'free' }))
  for (const run of many) queues.enqueue(run)
  t.equal(queues.ready, 5)
  queues.declare('free', 1)
  t.equal(queues.ready, 5, 'a new limit does not take slots back')
})

t.test('durations and delays are read as Trigger.dev writes them', async (t) => {
  const table: [string, number | undefined][] = [
    ['45s', 45_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['2hr', 7_200_000],
    ['1w2d', 777_600_000],
    ['', undefined],
    ['10', undefined],
    ['10x', undefined],
    ['-1s', undefined],
    ['1.5h', undefined],
  ]
  for (const [text, ms] of table) t.equal(durationMs(text), ms, text)
  t.same(delayEnd('30s', 1000), new Date(31_000))
  t.same(delayEnd('2026-01-01T00:00:00Z', 0), new Date('2026-01-01T00:00:00Z'))
  t.equal(delayEnd('later', 0), undefined)
})
