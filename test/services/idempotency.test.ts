import { once } from 'node:events'
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import t from 'tap'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { createDatabase } from '../support/postgres.ts'
import { type Answer, type Service, startEngine, startService, token } from '../support/service.ts'

const start = (service: Service, key: string, body: object, path = '/api/agent/chat') =>
  service.call('POST', path, { body, headers: { 'idempotency-key': key } })

/** Repeats a request while its answer is retryable. */
async function insist(send: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await send()
    if (!answer.body.retryable) return answer
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const runsIn = async (service: Service) => {
  const [row] = await service.app.database.named<{ runs: number; messages: number; conversations: number }>(
    'test_count',
    `select (select count(*)::int from runs) runs, (select count(*)::int from messages where seq = 0) messages,
      (select count(*)::int from conversations) conversations`,
    [],
  )
  return row
}

t.test('fifty parallel starts with one key on three instances make one run', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const services = await Promise.all([1, 2, 3].map(() => startService(t, { engine, databaseUrl })))
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      start(services[n % 3] as Service, 'fifty', { message: 'What is 6 * 7?' }),
    ),
  )
  const [first] = services as [Service]
  t.same(new Set(answers.map(({ status }) => status)), new Set([202]))
  t.equal(new Set(answers.map(({ body }) => JSON.stringify(body))).size, 1, 'all fifty bodies are equal')
  const replayed = answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')
  t.equal(replayed.length, 49)
  t.equal(engine.stats().runs, 1, 'the engine has one run')
  t.same(await runsIn(first), { runs: 1, messages: 1, conversations: 1 })
  t.match((await first.ended(answers[0]?.body.runId)).body, { status: 'completed', text: '6 * 7 = 42.' })
})

t.test('an Idempotency-Key', async (t) => {
  const service = await startService(t)
  const body = {
    message: 'What is 2 + 3?',
    metadata: { b: '2', a: '1' },
    history: [{ role: 'user', content: 'hi' }],
  }
  const first = await start(service, 'k', body)
  t.equal(first.status, 202)
  t.equal(first.headers.get('idempotency-replayed'), null)

  t.test('a repeated start gets the first answer, also with its fields in another order', async (t) => {
    const again = await start(service, '"k"', {
      ifBusy: 'enqueue',
      history: [{ content: 'hi', role: 'user' }],
      metadata: { a: '1', b: '2' },
      message: 'What is 2 + 3?',
    })
    t.equal(again.status, 202)
    t.same(again.body, first.body)
    t.equal(again.headers.get('location'), first.headers.get('location'))
    t.equal(again.headers.get('idempotency-replayed'), 'true')
  })

  t.test('a start with a used key and another body is refused with 422', async (t) => {
    for (const other of [
      { ...body, message: 'What is 2 + 4?' },
      { ...body, metadata: { a: '1' } },
      { ...body, history: [] },
      { ...body, ifBusy: 'reject' },
      { ...body, conversationId: first.body.conversationId },
    ]) {
      const answer = await start(service, 'k', other)
      t.match(answer, { status: 422, body: { code: 'idempotency_key_mismatch', retryable: false } })
    }
  })

  t.test('a request with two keys is refused with 400', async (t) => {
    const path = '/api/agent/chat'
    const [answer] = await once(
      request(service.url + path, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await token('alice')}`,
          'content-type': 'application/json',
          'idempotency-key': ['one', 'two'],
        },
      }).end(JSON.stringify(body)),
      'response',
    )
    t.equal(answer.statusCode, 400)
    t.match(await json(answer), {
      code: 'invalid_request',
      errors: [{ in: 'header', path: '/idempotency-key', message: 'must be sent once' }],
    })
  })

  t.test('the same key of another user starts another run', async (t) => {
    const other = await service.call('POST', '/api/agent/chat', {
      user: 'bob',
      body,
      headers: { 'idempotency-key': 'k' },
    })
    t.equal(other.status, 202)
    t.not(other.body.runId, first.body.runId)
  })

  t.test(
    'a repeated start gets its run after the run has failed, was cancelled, or its conversation was deleted',
    async (t) => {
      const failing = await start(service, 'failing', { message: '[[fail]]' })
      t.match((await service.ended(failing.body.runId)).body, { status: 'failed' })
      t.same((await start(service, 'failing', { message: '[[fail]]' })).body, failing.body)

      const cancelled = await start(service, 'cancelled', { message: '[[stall-after:3]] story' })
      await service.call('POST', `/api/agent/chat/${cancelled.body.runId}/cancel`)
      t.match((await service.ended(cancelled.body.runId)).body, { status: 'cancelled' })
      t.same((await start(service, 'cancelled', { message: '[[stall-after:3]] story' })).body, cancelled.body)

      const before = engineRuns(service)
      await service.call('DELETE', `/api/agent/conversations/${cancelled.body.conversationId}`)
      const deleted = await start(service, 'cancelled', { message: '[[stall-after:3]] story' })
      t.match(deleted, { status: 202, body: { runId: cancelled.body.runId } })
      t.equal(engineRuns(service), before)
    },
  )
})

const engineRuns = (service: Service) => service.engine.stats().runs

t.test('the rate limit charges a replay as a read, not as a start', async (t) => {
  const service = await startService(t, { environment: { RATE_LIMIT_START_MAX: '1' } })
  const body = { message: 'What is 1 + 1?' }
  const first = await start(service, 'one', body)
  t.equal(first.status, 202)
  for (let n = 0; n < 5; n++) t.same((await start(service, 'one', body)).body, first.body)
  t.match(await start(service, 'two', body), { status: 429 })
})

t.test('a second start with a key while the first one dispatches the turn', async (t) => {
  const engine = await startEngine(t)
  const proxy = await startToxicProxy(engine.url)
  t.teardown(() => proxy.stop())
  const databaseUrl = await createDatabase(t)
  const slow = await startService(t, { engine: { ...engine, url: proxy.url }, databaseUrl })
  const body = { message: 'What is 3 * 3?' }
  // This start loads the SDK and opens the connections.
  await slow.ended((await start(slow, 'warm', body)).body.runId)

  t.test('the second start waits for the run of the first start', async (t) => {
    proxy.toxics.delayMs = 300
    const [one, two] = await Promise.all([start(slow, 'both', body), start(slow, 'both', body)])
    await proxy.mend()
    t.equal(one.status, 202)
    t.same(one.body, two.body)
  })

  t.test(
    'the second start is refused as retryable when the first one takes too long, and its repeat finds the run',
    async (t) => {
      const before = engine.stats().runs
      proxy.toxics.swallowAnswers = true
      const [one, two] = await Promise.all([start(slow, 'lost', body), start(slow, 'lost', body)])
      const [told, waited] = one.body.code === 'engine_unavailable' ? [one, two] : [two, one]
      t.match(told, { status: 503, body: { code: 'engine_unavailable', retryAfter: Number } })
      t.match(waited, { status: 409, body: { code: 'idempotency_in_progress', retryAfter: 1 } })
      t.equal(engine.stats().runs, before + 1, 'the engine has made a run')
      await proxy.mend()
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => insist(() => start(slow, 'lost', body))),
      )
      t.same(new Set(answers.map(({ status }) => status)), new Set([202]))
      t.equal(new Set(answers.map((answer) => JSON.stringify(answer.body))).size, 1)
      t.equal(engine.stats().runs, before + 1, 'the engine has made no second run')
      t.match((await slow.ended(answers[0]?.body.runId)).body, { status: 'completed', text: '3 * 3 = 9.' })
    },
  )

  t.test('a run that failed before the retry came is not run twice', async (t) => {
    const before = engine.stats().runs
    proxy.toxics.swallowAnswers = true
    const failing = { message: '[[fail]]' }
    t.match(await start(slow, 'failed', failing), { status: 503 })
    await proxy.mend()
    const again = await insist(() => start(slow, 'failed', failing))
    t.equal(again.status, 202)
    t.match((await slow.ended(again.body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
    t.equal(engine.stats().runs, before + 1)
  })
})

t.test('two starts with one key make one run while the database is away', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startToxicProxy(databaseUrl)
  t.teardown(() => proxy.stop())
  const service = await startService(t, { databaseUrl: proxy.url })
  const body = { message: 'What is 5 * 5?' }
  await service.ended((await start(service, 'warm', body)).body.runId)
  await proxy.cut()
  const answers = [await start(service, 'away', body), await start(service, 'away', body)]
  t.same(
    answers.map(({ status }) => status),
    [202, 202],
  )
  t.same(Object.keys(answers[0]?.body), ['runId', 'status'])
  t.same(
    answers[0]?.body,
    answers[1]?.body,
    'both starts are answered with the run that the engine has for the key',
  )
  await proxy.mend()
  const later = await insist(() => start(service, 'away', body))
  t.equal(later.body.runId, answers[0]?.body.runId)
  // A connection that was opened before the outage may break now. The instance then refuses calls for a second.
  const { body: run } = await insist(() => service.ended(later.body.runId))
  t.match(run, { status: 'completed', text: '5 * 5 = 25.' })
  t.equal(service.engine.stats().runs, 2)
  t.equal((await runsIn(service))?.runs, 2)
})
