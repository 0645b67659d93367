import { test } from 'tap'
import { DispatchError, EngineBusy, isEngineAway, isEngineBusy } from '../../src/engine/engine-error.ts'
import { Problem } from '../../src/errors.ts'
import { answerJson, apiRun, httpEngine, START, TURN } from './http-engine.ts'

const failureOf = (work: Promise<unknown>): Promise<DispatchError> =>
  work.then(
    () => {
      throw new Error('It did not fail.')
    },
    (error) => error,
  )

const refusals: Array<[status: number, code: string, detail: RegExp]> = [
  [400, 'engine_refused', /status 400: the operator .* versions/],
  [401, 'engine_refused', /status 401: the operator .* secret key/],
  [402, 'engine_refused', /status 402: the operator/],
  [403, 'engine_refused', /status 403: the operator .* secret key/],
  [404, 'engine_refused', /status 404: the operator .* task/],
  [413, 'engine_payload_too_large', /./],
  [422, 'engine_refused', /status 422: the operator/],
]

test('a permanent refusal of a start is 502 engine_refused, after one call', async (t) => {
  for (const [status, code, detail] of refusals) {
    const { engine, requests, logged } = await httpEngine(t, (_request, response) =>
      answerJson(response, { error: 'Queue "agent-chat" is unknown at 10.0.0.7' }, status),
    )
    const error = await failureOf(engine.start(TURN, START))
    t.type(error, DispatchError)
    t.match(error, { code, outcome: 'refused', message: detail }, `${status}`)
    t.notMatch(error.message, '10.0.0.7', 'the words of the engine stay in the log')
    t.notOk(error.details.retryAfter, 'it is not to be repeated')
    t.equal(requests.length, 1)
    if (code !== 'engine_refused') continue
    await failureOf(engine.start(TURN, START))
    t.match(logged, [{ level: 'error', call: 'start', status, reason: /Queue "agent-chat" is unknown/ }])
    t.equal(logged.length, 1, 'it is logged once')
  }
})

test('a refusal is logged again after the engine has accepted such a call', async (t) => {
  let status = 422
  const { engine, logged } = await httpEngine(t, (_request, response) =>
    answerJson(response, status === 200 ? { id: 'run_a' } : { error: 'no' }, status),
  )
  await failureOf(engine.start(TURN, START))
  status = 200
  t.equal(await engine.start(TURN, START), 'run_a')
  status = 422
  await failureOf(engine.start(TURN, START))
  t.equal(logged.length, 2)
})

test('all other calls report a refusal as 502 engine_refused, which counts as an engine that is away', async (t) => {
  const { engine } = await httpEngine(t, (_request, response) =>
    answerJson(response, { error: 'Invalid API key' }, 401),
  )
  const list = async () => {
    for await (const _ of engine.list({ tag: 't' }));
  }
  for (const work of [engine.get('run_a'), engine.cancel('run_a'), engine.ping(), list()]) {
    const error = await failureOf(work)
    t.type(error, Problem)
    t.match(error, { code: 'engine_refused', statusCode: 502 })
    t.equal(isEngineAway(error), true)
    t.equal(isEngineBusy(error), false)
  }
})

test('a 5xx, a lock and a time-out of the engine are repeated', async (t) => {
  for (const status of [408, 409, 500, 502, 503]) {
    let answers = 0
    const { engine } = await httpEngine(t, (_request, response) =>
      answers++ === 0 ? answerJson(response, {}, status) : answerJson(response, apiRun('run_a', 'QUEUED')),
    )
    t.match(await engine.get('run_a'), { status: 'queued' }, `${status}`)
  }
})

test('an answer to a start that cannot be read leaves it unknown whether there is a run', async (t) => {
  const { engine } = await httpEngine(t, (_request, response) => answerJson(response, { ok: true }))
  t.match(await failureOf(engine.start(TURN, START)), { code: 'engine_unavailable', outcome: 'unknown' })
})

test('a start whose second attempt is refused may still have a run', async (t) => {
  const { engine } = await httpEngine(t, (request, response) =>
    request.method === 'POST' ? response.destroy() : answerJson(response, { error: 'no' }, 403),
  )
  t.match(await failureOf(engine.start(TURN, START)), { code: 'engine_unavailable', outcome: 'unknown' })
})

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1_000)

const limits: Array<[name: string, headers: () => Record<string, string>, least: number, most: number]> = [
  ['seconds', () => ({ 'retry-after': '30' }), 29, 30],
  ['a date', () => ({ 'retry-after': inSeconds(30).toUTCString() }), 28, 31],
  [
    'a date by a clock that is an hour ahead',
    () => ({ 'retry-after': inSeconds(3_630).toUTCString(), date: inSeconds(3_600).toUTCString() }),
    28,
    31,
  ],
  ['the limiter of Trigger.dev', () => ({ 'x-ratelimit-reset': String(inSeconds(30).getTime()) }), 28, 31],
  [
    'both, of which Retry-After is the answer',
    () => ({ 'retry-after': '30', 'x-ratelimit-reset': String(inSeconds(7).getTime()) }),
    29,
    30,
  ],
  [
    'a Retry-After that is none, and the limiter',
    () => ({ 'retry-after': 'soon', 'x-ratelimit-reset': String(inSeconds(30).getTime()) }),
    28,
    31,
  ],
]

test('a limit of the engine closes the budget of the whole instance until the time that it names', async (t) => {
  for (const [name, headers, least, most] of limits) {
    const { engine, requests, calls } = await httpEngine(t, (_request, response) =>
      answerJson(response, { error: 'Rate limit exceeded' }, 429, headers()),
    )
    const first = await failureOf(engine.start(TURN, START))
    t.match(first, { code: 'engine_unavailable', statusCode: 503, outcome: 'refused' }, name)
    t.ok(Number(first.details.retryAfter) >= least && Number(first.details.retryAfter) <= most, name)
    t.equal(requests.length, 1, 'it is not repeated within that time')
    const list = async () => {
      for await (const _ of engine.list({ tag: 't' }));
    }
    const read = async () => {
      for await (const _ of engine.chunks('run_a', new AbortController().signal));
    }
    const others = await Promise.all(
      [engine.start(TURN, START), engine.get('run_a'), engine.get('run_a', 'sweep'), engine.cancel('run_a')]
        .concat(list() as never, read() as never)
        .map(failureOf),
    )
    for (const error of [first, ...others]) {
      t.ok(Number(error.details.retryAfter) >= least && Number(error.details.retryAfter) <= most, name)
      t.equal(isEngineBusy(error), true)
      t.equal(isEngineAway(error), false, 'an engine that answers is not away')
    }
    t.equal(requests.length, 1, 'no other call has reached the engine')
    t.strictSame(calls.slice(0, 2), ['start 429', 'start busy'])
  }
})

test('a call that can wait for the end of the limit is made then', async (t) => {
  const at: number[] = []
  const { engine, requests } = await httpEngine(t, (_request, response) => {
    at.push(performance.now())
    if (at.length === 1) answerJson(response, { error: 'Rate limit exceeded' }, 429, { 'retry-after': '2' })
    else answerJson(response, { id: 'run_a' })
  })
  t.strictSame(await Promise.all([engine.start(TURN, START)]), ['run_a'])
  t.equal(requests.length, 2)
  t.ok(Number(at[1]) - Number(at[0]) >= 1_990, 'not before')
})

test('a limit is no outage: readiness stays as it was', async (t) => {
  let isLimited = false
  const { engine, requests } = await httpEngine(t, (_request, response) =>
    isLimited
      ? answerJson(response, {}, 429, { 'retry-after': '30' })
      : answerJson(response, { data: [], pagination: {} }),
  )
  await engine.ping()
  isLimited = true
  await failureOf(engine.get('run_a'))
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  Date.now = () => now() + 20_000
  await t.resolves(engine.ping(), 'the engine was there when it was asked last')
  t.equal(requests.length, 2)
})

test('a closed budget is no evidence that an engine is there which has never answered', async (t) => {
  const { engine } = await httpEngine(t, (_request, response) =>
    answerJson(response, {}, 429, { 'retry-after': '30' }),
  )
  t.type(await failureOf(engine.ping()), EngineBusy)
  t.type(await failureOf(engine.ping()), EngineBusy)
})

test('callers receive the time that an engine in maintenance names', async (t) => {
  const { engine, requests } = await httpEngine(t, (_request, response) =>
    answerJson(response, {}, 503, { 'retry-after': '40' }),
  )
  const error = await failureOf(engine.start(TURN, START))
  t.match(error, { code: 'engine_unavailable', details: { retryAfter: 40 } })
  t.equal(isEngineAway(error), true)
  t.equal(requests.length, 1)
})
