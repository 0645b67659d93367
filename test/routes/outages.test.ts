import t from 'tap'
import { createDatabase } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

const ready = async ({ call }: Service, status: string) => {
  for (;;) {
    const { body } = await call('GET', '/readyz')
    if (body.status === status) return body
  }
}

t.test('with the engine away', async (t) => {
  const engine = await startEngine(t)
  const proxy = await startProxy(t, engine.url)
  const service = await startService(t, { engine: { ...engine, url: proxy.url } })
  const { call } = service
  const start = (body: object) => call('POST', '/api/agent/chat', { body })
  const rows = async () =>
    service.app.database.named<{ runs: number; conversations: number; messages: number }>(
      'test_rows',
      `select (select count(*)::int from runs) runs, (select count(*)::int from conversations) conversations,
        (select count(*)::int from messages) messages`,
      [],
    )
  const first = await start({ message: 'What is 1 + 1?' })
  await service.ended(first.body.runId)
  await ready(service, 'ok')
  const before = await rows()
  await proxy.cut()

  t.test('a start is 503 with retryAfter and leaves no row behind', async (t) => {
    for (const body of [{ message: 'hi' }, { message: 'hi', conversationId: first.body.conversationId }]) {
      const answer = await start(body)
      t.match(answer, {
        status: 503,
        body: { code: 'engine_unavailable', retryable: true, retryAfter: Number },
      })
      t.equal(answer.headers.get('retry-after'), String(answer.body.retryAfter))
    }
    t.same(await rows(), before)
  })

  t.test('polls, lists and conversations work on, and readiness says degraded', async (t) => {
    t.match(await call('GET', `/api/agent/chat/${first.body.runId}`), {
      status: 200,
      body: { status: 'completed' },
    })
    t.equal((await call('GET', '/api/agent/conversations')).body.data.length, 1)
    t.equal((await call('POST', `/api/agent/chat/${first.body.runId}/cancel`)).status, 200)
  })

  t.test('a start works again once the engine is back', async (t) => {
    await proxy.mend()
    const answer = await start({ message: 'What is 2 + 2?', conversationId: first.body.conversationId })
    t.equal(answer.status, 202)
    t.match((await service.ended(answer.body.runId)).body, { status: 'completed', text: '2 + 2 = 4.' })
  })
})

t.test('with the database away', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startProxy(t, databaseUrl)
  const service = await startService(t, { databaseUrl: proxy.url })
  const { call } = service
  const start = (body: object, headers: Record<string, string> = {}) =>
    call('POST', '/api/agent/chat', { body, headers })
  const first = await start({ message: 'What is 1 + 1?' })
  await service.ended(first.body.runId)
  await ready(service, 'ok')
  await proxy.cut()
  let unstored = ''

  t.test('a start without a conversation queues its run', async (t) => {
    const answer = await start({
      message: 'What was my first question?',
      history: [{ role: 'user', content: 'My name is Ada.' }],
    })
    t.equal(answer.status, 202)
    t.match(answer.body, { runId: /^run_/, status: 'queued' })
    t.notOk('conversationId' in answer.body)
    unstored = answer.body.runId
  })

  t.test('what needs the database is 503 with retryAfter', async (t) => {
    const requests = [
      start({ message: 'hi', conversationId: first.body.conversationId }),
      call('GET', `/api/agent/chat/${first.body.runId}`),
      call('POST', `/api/agent/chat/${first.body.runId}/cancel`),
      call('GET', '/api/agent/chat'),
      call('GET', '/api/agent/conversations'),
      call('POST', '/api/agent/conversations', { body: {} }),
      call('GET', `/api/agent/conversations/${first.body.conversationId}/messages`),
    ]
    for (const answer of await Promise.all(requests)) {
      t.match(answer, { status: 503, body: { code: 'database_unavailable', retryAfter: Number } })
      t.equal(answer.headers.get('retry-after'), String(answer.body.retryAfter))
    }
    t.match(await ready(service, 'degraded'), { components: { database: 'down', engine: 'ok' } })
  })

  t.test('everything works again once it is back, and the run is adopted with its answer', async (t) => {
    await proxy.mend()
    await ready(service, 'ok')
    t.match(await call('GET', `/api/agent/chat/${first.body.runId}`), {
      status: 200,
      body: { status: 'completed' },
    })
    for (;;) {
      const { status, body } = await call('GET', `/api/agent/chat/${unstored}`)
      if (status === 404 || body.status !== 'completed') continue
      t.match(body.text, /My name is Ada/)
      break
    }
  })
})
