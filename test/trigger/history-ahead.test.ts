import { configure, runs } from '@trigger.dev/sdk'
import t from 'tap'
import { aheadEngine } from '../../src/trigger/ahead-engine.ts'
import { readAhead, withAhead } from '../../src/trigger/history-ahead.ts'
import { readWindow, withWindow } from '../../src/trigger/window-ahead.ts'
import { say, turnOf } from '../agent/turns.ts'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { HELD_TASK, type HeldRun, hold } from '../support/held-runs.ts'
import type { HeldEnd } from '../support/held-task.ts'
import { startEngine } from '../support/service.ts'
import { startStreamGate } from '../support/stream-gate.ts'

const engine = await startEngine(t, { taskModules: [HELD_TASK], spares: 3 })
const gate = await startStreamGate(t, engine.url, (_read, _answer, pass) => pass())
const line = await startToxicProxy(gate.url)
t.teardown(() => line.stop())
configure({ baseURL: line.url, accessToken: engine.secretKey })

const patient = { waitMs: 10_000, pollMs: 10, callMs: 5_000 }
const hasty = { waitMs: 100, pollMs: 10, callMs: 50 }
const live = new AbortController().signal

const looks = () => line.requests.get('GET /api/v3/runs/:id') ?? 0
async function looked(times: number) {
  for (const before = looks(); looks() < before + times; ) await new Promise(setImmediate)
}

const record = (index: number, delta: string) => ({ index, chunk: { type: 'text-delta', id: '1', delta } })
const answered = (answer: string): HeldEnd => ({
  output: { uiMessage: say('assistant', answer), usage: {}, finishReason: 'stop' },
})

/** A run that is over. */
async function over(payload: unknown, end: HeldEnd): Promise<string> {
  const run = await hold(engine, payload)
  await run.end(end)
  await runs.poll(run.id, { pollIntervalMs: 20 })
  return run.id
}
const completed = (question: string, answer: string) => over(turnOf(question), answered(answer))

t.test('a completed run gives its message and answer, in the order of the runs', async (t) => {
  const [a, b] = await Promise.all([completed('A?', 'A.'), completed('B?', 'B.')])
  t.same(await readAhead([a, b], aheadEngine, live, patient), {
    turns: [
      [say('user', 'A?'), say('assistant', 'A.')],
      [say('user', 'B?'), say('assistant', 'B.')],
    ],
    incomplete: false,
  })
})

t.test('nothing ahead asks nothing', async (t) => {
  const before = looks()
  t.same(await readAhead([], aheadEngine, live, patient), { turns: [], incomplete: false })
  t.equal(looks(), before)
})

t.test('an unfinished run is waited for', async (t) => {
  const first = await hold(engine, turnOf('first'), { concurrencyKey: 'a lane' })
  const second = await hold(engine, turnOf('A?'), { concurrencyKey: 'a lane' })
  const reading = readAhead([second.id], aheadEngine, live, patient)
  await looked(2)
  t.equal((await aheadEngine.retrieve(second.id)).status, 'QUEUED')
  await first.end()
  await second.executing()
  await looked(2)
  await second.end(answered('A.'))
  t.same(await reading, { turns: [[say('user', 'A?'), say('assistant', 'A.')]], incomplete: false })
})

t.test('a call that fails is made again', async (t) => {
  const a = await completed('A?', 'A.')
  await line.cut()
  const failed = Promise.withResolvers<void>()
  const watched = {
    ...aheadEngine,
    retrieve: (runId: string) =>
      aheadEngine.retrieve(runId).catch((error: unknown) => {
        failed.resolve()
        throw error
      }),
  }
  const reading = readAhead([a], watched, live, patient)
  await failed.promise
  await line.mend()
  t.same(await reading, { turns: [[say('user', 'A?'), say('assistant', 'A.')]], incomplete: false })
})

t.test('a run that does not end in time is left out', async (t) => {
  const endless = await hold(engine, turnOf('A?'))
  const b = await completed('B?', 'B.')
  t.same(await readAhead([endless.id, b], aheadEngine, live, { ...patient, waitMs: 100 }), {
    turns: [[], [say('user', 'B?'), say('assistant', 'B.')]],
    incomplete: true,
  })
  await endless.end()
})

t.test('a run that ended badly gives its message and what its stream shows', async (t) => {
  const ends: Array<[string, (run: HeldRun) => Promise<unknown>]> = [
    ['FAILED', (run) => run.end({ fail: 'no' })],
    ['CANCELED', (run) => runs.cancel(run.id).then(() => run.end())],
    ['CRASHED', (run) => run.end({ exit: 1 })],
    ['TIMED_OUT', (run) => run.end({ internal: 'MAX_DURATION_EXCEEDED' })],
    ['SYSTEM_FAILURE', (run) => run.end({ internal: 'TASK_EXECUTION_FAILED' })],
  ]
  const records = [
    { index: 0, chunk: { type: 'start' } },
    record(1, 'Once '),
    record(2, 'upon'),
    record(1, 'Once '),
    record(2, 'upon'),
    record(3, ' a'),
    { index: 4, chunk: { type: 'abort' } },
    record(5, 'never'),
  ]
  const parts = [{ type: 'text', text: 'Once upon a' }]
  const told = (status: string) => ({
    turns: [[say('user', 'Story?'), { id: 'answer', role: 'assistant', parts, status }]],
    incomplete: false,
  })
  for (const [status, end] of ends) {
    t.test(status, async (t) => {
      const run = await hold(engine, turnOf('Story?'))
      await run.write(records)
      await run.executing()
      await end(run)
      t.same(
        await readAhead([run.id], aheadEngine, live, patient),
        told(status === 'CANCELED' ? 'cancelled' : 'failed'),
      )
      t.equal((await aheadEngine.retrieve(run.id)).status, status)
    })
  }

  t.test('EXPIRED', async (t) => {
    const before = await hold(engine, turnOf('first'), { concurrencyKey: 'another lane' })
    const run = await hold(engine, turnOf('Story?'), { concurrencyKey: 'another lane', ttl: '1s' })
    await run.write(records)
    t.same(await readAhead([run.id], aheadEngine, live, patient), told('failed'))
    t.equal((await aheadEngine.retrieve(run.id)).status, 'EXPIRED')
    await before.end()
  })
})

t.test('a stream that never ends, or breaks, gives what came until then', async (t) => {
  const run = await hold(engine, turnOf('Story?'))
  await run.write([record(0, 'Once')])
  await run.executing()
  // Its process does not let go, so its stream stays open.
  await runs.cancel(run.id)
  const parts = async () =>
    (await readAhead([run.id], aheadEngine, live, { ...patient, callMs: 500 })).turns[0]?.[1]?.parts
  t.match(await parts(), [{ text: 'Once' }])
  gate.keep = (_read, answer) => void answer.writeHead(404).end()
  t.same(await parts(), [])
  gate.keep = (_read, answer) => void answer.destroy()
  t.same(await parts(), [])
  gate.keep = (_read, _answer, pass) => pass()
  await run.end()
})

t.test('an engine that fails, hangs or answers rubbish cannot stop the turn', async (t) => {
  const nothing = { turns: [[]], incomplete: true }
  const a = await completed('A?', 'A.')
  line.toxics.hang = true
  t.same(await readAhead([a], aheadEngine, live, hasty), nothing)
  await line.mend()
  await line.cut()
  t.same(await readAhead([a], aheadEngine, live, hasty), nothing)
  await line.mend()
  t.same(await readAhead(['run_unknown'], aheadEngine, live, patient), nothing)
  const rubbish = [undefined, null, 5, {}, { message: 'text' }, { message: { id: 'x' } }]
  for (const payload of rubbish) {
    const run = await over(payload, answered('A.'))
    t.same(await readAhead([run], aheadEngine, live, patient), nothing, JSON.stringify(payload))
  }
  for (const output of [undefined, null, {}, { uiMessage: 'text' }]) {
    const run = await over(turnOf('A?'), { output })
    t.same(await readAhead([run], aheadEngine, live, patient), nothing, JSON.stringify(output))
  }
})

t.test('a stop ends the waiting', async (t) => {
  const stop = new AbortController()
  const run = await hold(engine, turnOf('A?'))
  const reading = readAhead([run.id], aheadEngine, stop.signal, {
    ...patient,
    waitMs: 60_000,
    pollMs: 30_000,
  })
  await looked(1)
  stop.abort()
  t.same(await reading, { turns: [[]], incomplete: true })
  await run.end()
})

t.test('turns ahead stand at their places among the turns that had ended', async (t) => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((text) => [say('user', text), say('assistant', text)])
  const history = [a, c].flatMap((turn) => turn ?? [])
  const together = (...turns: (typeof a)[]) => turns.flatMap((turn) => turn ?? [])
  t.same(withAhead(history, [b ?? [], d ?? []], [2, 4]), together(a, b, c, d))
  t.same(withAhead(history, [b ?? [], d ?? []], [0, 0]), together(b, d, a, c))
  t.same(withAhead(history, [[], d ?? []], [2, 4]), together(a, c, d), 'one could not be read')
  t.same(withAhead(history, [d ?? []]), together(a, c, d), 'a service before this version says no places')
})

t.test('the newest summary of the runs ahead stands for their messages', async (t) => {
  const summarised = (question: string, answer: string, text: string, through: string[]) => {
    const window = { summary: { text, messages: 4, dropped: 1, through }, charactersPerToken: 3.5 }
    return over(turnOf(question), { output: { uiMessage: say('assistant', answer), usage: {}, window } })
  }
  const [a, b, c] = await Promise.all([
    summarised('A?', 'A.', 'older', ['assistant-4']),
    summarised('B?', 'B.', 'newer', ['gone', 'user-4']),
    completed('C?', 'C.'),
  ])
  const { turns, window } = await readAhead([a, b, c], aheadEngine, live, patient)
  t.match(window, { summary: { text: 'newer' }, charactersPerToken: 3.5 })
  const earlier = [say('user', 'One?'), say('assistant', 'One.')]
  const later = [say('user', 'Second'), say('assistant', 'Second.')]
  const turn = { ...turnOf('D?', withAhead([...earlier, ...later], turns)), omitted: 3 }
  t.same(withWindow(turn, window), {
    ...turnOf('D?', [...later, ...turns.flat()]),
    summary: { text: 'newer', messages: 4, dropped: 1 },
    charactersPerToken: 3.5,
  })
  const elsewhere = { summary: { text: 'x', messages: 1, dropped: 0, through: ['elsewhere'] } }
  t.same(withWindow(turn, elsewhere), turn, 'a summary that ends before the history changes nothing')
  t.same(withWindow(turn, undefined), turn)
})

t.test('a window that cannot be read is none', (t) => {
  t.equal(readWindow(undefined), undefined)
  t.equal(readWindow({ window: 7 }), undefined)
  t.same(readWindow({ window: { summary: { text: 1 }, charactersPerToken: 'x' } }), {})
  t.end()
})
