import t from 'tap'
import { type AheadEngine, type AheadRun, readAhead, withAhead } from '../../src/trigger/history-ahead.ts'
import { say, turnOf } from '../agent/turns.ts'

const limits = { waitMs: 100, pollMs: 10, callMs: 50 }
const live = new AbortController().signal

/** An engine that answers `retrieve` with the given runs one after the other, the last one for ever. */
function engineOf(runs: Record<string, (AheadRun | Error)[]>, records: unknown[] = []): AheadEngine {
  return {
    retrieve: async (runId) => {
      const left = runs[runId] ?? []
      const next = left.length > 1 ? left.shift() : left[0]
      if (!next || next instanceof Error) throw next ?? new Error('404 Not found')
      return next
    },
    async *chunks() {
      yield* records
    },
  }
}

const record = (index: number, delta: string) => ({ index, chunk: { type: 'text-delta', id: '1', delta } })
const completed = (question: string, answer: string): AheadRun => ({
  status: 'COMPLETED',
  payload: turnOf(question),
  output: { uiMessage: say('assistant', answer), usage: {}, finishReason: 'stop' },
})
const interrupted = { type: 'text', text: '[This answer was interrupted.]' }

t.test('a completed run gives its message and answer, in the order of the runs', async (t) => {
  const engine = engineOf({ a: [completed('A?', 'A.')], b: [completed('B?', 'B.')] })
  t.same(await readAhead(['a', 'b'], engine, live, limits), {
    turns: [
      [say('user', 'A?'), say('assistant', 'A.')],
      [say('user', 'B?'), say('assistant', 'B.')],
    ],
    incomplete: false,
  })
})

t.test('nothing ahead asks nothing', async (t) => {
  t.same(await readAhead([], engineOf({}), live, limits), { turns: [], incomplete: false })
})

t.test('an unfinished run is waited for', async (t) => {
  const executing = { status: 'EXECUTING', payload: turnOf('A?') }
  const engine = engineOf({ a: [{ ...executing, status: 'QUEUED' }, executing, completed('A?', 'A.')] })
  t.match(await readAhead(['a'], engine, live, limits), {
    turns: [[{}, say('assistant', 'A.')]],
    incomplete: false,
  })
})

t.test('a run that does not end in time is left out', async (t) => {
  const engine = engineOf({ a: [{ status: 'EXECUTING', payload: turnOf('A?') }], b: [completed('B?', 'B.')] })
  t.same(await readAhead(['a', 'b'], engine, live, limits), {
    turns: [[], [say('user', 'B?'), say('assistant', 'B.')]],
    incomplete: true,
  })
})

for (const status of ['FAILED', 'CANCELED', 'CRASHED', 'TIMED_OUT', 'SYSTEM_FAILURE', 'EXPIRED']) {
  t.test(`a run that is ${status} gives its message and what its stream shows`, async (t) => {
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
    const engine = engineOf({ a: [{ status, payload: turnOf('Story?') }] }, records)
    t.same(await readAhead(['a'], engine, live, limits), {
      turns: [
        [
          say('user', 'Story?'),
          { id: 'answer', role: 'assistant', parts: [{ type: 'text', text: 'Once upon a' }, interrupted] },
        ],
      ],
      incomplete: false,
    })
  })
}

t.test('a stream that never ends, or breaks, gives what came until then', async (t) => {
  const run: AheadRun = { status: 'CANCELED', payload: turnOf('Story?') }
  const silent: AheadEngine = {
    ...engineOf({ a: [run] }),
    async *chunks(_runId, signal) {
      yield record(0, 'Once')
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  }
  const broken: AheadEngine = {
    ...engineOf({ a: [run] }),
    // biome-ignore lint/correctness/useYield: a stream that is gone fails at once
    async *chunks() {
      throw new Error('404')
    },
  }
  t.match((await readAhead(['a'], silent, live, limits)).turns[0]?.[1]?.parts, [
    { text: 'Once' },
    interrupted,
  ])
  t.same((await readAhead(['a'], broken, live, limits)).turns[0]?.[1]?.parts, [interrupted])
})

t.test('an engine that fails, hangs or answers rubbish cannot stop the turn', async (t) => {
  const hanging: AheadEngine = { ...engineOf({}), retrieve: () => new Promise(() => {}) }
  const nothing = { turns: [[]], incomplete: true }
  t.same(await readAhead(['a'], hanging, live, limits), nothing)
  t.same(await readAhead(['a'], engineOf({ a: [new Error('500')] }), live, limits), nothing)
  for (const payload of [undefined, null, 5, {}, { message: 'text' }, { message: { id: 'x' } }]) {
    t.same(await readAhead(['a'], engineOf({ a: [{ status: 'COMPLETED', payload }] }), live, limits), nothing)
  }
  const answerless: AheadRun = { status: 'COMPLETED', payload: turnOf('A?'), output: null }
  t.same(await readAhead(['a'], engineOf({ a: [answerless] }), live, limits), nothing)
})

t.test('a stop ends the waiting', async (t) => {
  const stop = new AbortController()
  const engine = engineOf({ a: [{ status: 'QUEUED', payload: turnOf('A?') }] })
  const reading = readAhead(['a'], engine, stop.signal, { waitMs: 60_000, pollMs: 30_000, callMs: 50 })
  stop.abort()
  t.same(await reading, { turns: [[]], incomplete: true })
})

t.test('turns ahead take their places among those that had ended', async (t) => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((text) => [say('user', text), say('assistant', text)])
  const history = [a, c].flatMap((turn) => turn ?? [])
  const together = (...turns: (typeof a)[]) => turns.flatMap((turn) => turn ?? [])
  t.same(withAhead(history, [b ?? [], d ?? []], [2, 4]), together(a, b, c, d))
  t.same(withAhead(history, [b ?? [], d ?? []], [0, 0]), together(b, d, a, c))
  t.same(withAhead(history, [[], d ?? []], [2, 4]), together(a, c, d), 'one could not be read')
  t.same(withAhead(history, [d ?? []]), together(a, c, d), 'a service before this version says no places')
})
