import { test } from 'tap'
import { callBudget } from '../../src/engine/call-budget.ts'
import { isEngineAway, isEngineBusy } from '../../src/engine/engine-error.ts'
import { answerJson, apiRun, httpEngine, START, TURN } from './http-engine.ts'

test('the budget admits starts first, and gives sweeps a fifth', async (t) => {
  // The budget's own timer holds no process.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const budget = callBudget(60)
  const signal = new AbortController().signal
  const admitted: string[] = []
  const take = (purpose: 'act' | 'read' | 'sweep', within = signal) =>
    budget.take(purpose, { signal: within }).then(
      () => void admitted.push(purpose),
      () => void admitted.push(`no ${purpose}`),
    )
  for (let n = 0; n < 10; n++) await take('act')
  const late = new AbortController()
  const waiting = [take('sweep', late.signal), take('read'), take('act')]
  await waiting[2]
  t.equal(admitted[10], 'act', 'the last to come is the first to go')
  await waiting[1]
  late.abort()
  await waiting[0]
  t.same(admitted.slice(10, 12), ['act', 'read'])
})

test('sweeps that come alone leave four fifths of the budget to others', async (t) => {
  const budget = callBudget(60)
  const end = new AbortController()
  let sweeps = 0
  const waiting = Array.from({ length: 10 }, () =>
    budget.take('sweep', { signal: end.signal }).then(
      () => void sweeps++,
      () => {},
    ),
  )
  for (let n = 0; n < 8; n++) await budget.take('act', { signal: end.signal })
  t.equal(sweeps, 2, 'a fifth of the calls that ten quiet seconds have saved')
  end.abort()
  await Promise.all(waiting)
})

test('the end that a sweep has found is read at once, and counts in the share of the next sweeps', async (t) => {
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const budget = callBudget(600)
  const { signal } = new AbortController()
  for (let n = 0; n < 20; n++) await budget.take('sweep', { signal })
  const order: string[] = []
  const take = (purpose: 'end' | 'sweep') =>
    budget.take(purpose, { signal }).then(() => void order.push(purpose))
  const sweep = take('sweep')
  await Promise.all([take('end'), take('end')])
  t.same(order, ['end', 'end'])
  await sweep
  t.same(order, ['end', 'end', 'sweep'])
})

test('a spent budget refuses calls that cannot wait, which is no evidence about the engine', async (t) => {
  const budget = callBudget(60)
  for (let n = 0; n < 10; n++) await budget.take('act')
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  for (const patienceMs of [0, 20]) {
    const error = await budget.take('read', { patienceMs }).catch((reason) => reason)
    t.match(error, { code: 'engine_unavailable', statusCode: 503, details: { retryAfter: 2 } })
    t.equal(isEngineBusy(error), true)
    t.equal(isEngineAway(error), false)
  }
  t.equal(isEngineBusy(new Error('another', { cause: new Error('deeper') })), false)
})

test('a closed budget refuses at once every call that cannot wait until it opens, of every purpose', async (t) => {
  const budget = callBudget(0)
  const waiting = budget.take('act', { patienceMs: 5_000 })
  await waiting
  const early = callBudget(60)
  for (let n = 0; n < 10; n++) await early.take('act')
  const inLine = early.take('act', { patienceMs: 5_000 })
  early.close(30_000)
  t.match(await inLine.catch((reason) => reason), { details: { retryAfter: 30 } }, 'one that stood in line')
  budget.close(30_000)
  budget.close(1_000)
  for (const purpose of ['act', 'read', 'end', 'sweep'] as const)
    t.match(await budget.take(purpose, { patienceMs: 29_000 }).catch((reason) => reason), {
      name: 'EngineBusy',
      details: { retryAfter: 30 },
    })
  const gone = new AbortController()
  const left = [budget.take('read', { signal: gone.signal }), budget.opened(gone.signal)]
  gone.abort(new Error('left'))
  for (const one of left) await t.rejects(one, { message: 'left' })
})

test('a budget that opens again admits the waiting calls, in their order', async (t) => {
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const budget = callBudget(600)
  const { signal } = new AbortController()
  budget.close(50)
  const order: string[] = []
  const note = (name: string) => () => void order.push(name)
  await Promise.all([
    budget.take('sweep').then(note('sweep')),
    budget.take('act').then(note('act')),
    budget.opened(signal).then(note('poll')),
  ])
  t.strictSame(order, ['poll', 'act', 'sweep'])
})

test('no answer of the engine closes the budget for more than ten minutes', async (t) => {
  const budget = callBudget(0)
  budget.close(Number.MAX_SAFE_INTEGER)
  t.match(await budget.take('act', { patienceMs: 1 }).catch((reason) => reason), {
    details: { retryAfter: 600 },
  })
})

test('an engine that answers is not away when this instance has no calls left', async (t) => {
  const { engine, requests, calls } = await httpEngine(
    t,
    (request, response) =>
      answerJson(response, request.method === 'POST' ? { id: 'run_a' } : apiRun('run_a', 'EXECUTING')),
    6,
  )
  await engine.get('run_a')
  const error = await engine.get('run_a', 'sweep').catch((reason) => reason)
  t.equal(isEngineBusy(error), true)
  t.equal(isEngineAway(error), false)
  await t.resolves(engine.ping(0), 'readiness goes by what the engine has answered')
  const refused = await engine.start(TURN, { ...START, deadlineMs: 50 }).catch((reason) => reason)
  t.match(refused, { name: 'DispatchError', outcome: 'refused', code: 'engine_unavailable' })
  t.equal(isEngineBusy(refused), true)
  t.equal(requests.length, 1)
  t.strictSame(calls, ['retrieve ok', 'retrieve busy', 'start busy'])
})
