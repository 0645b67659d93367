import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { ask, openStream, ready, textOf, typesOf, userMessage } from '../streams/sse.ts'
import { startEngine, startService, token } from '../support/service.ts'

const STREAM = '/api/agent/chat/stream'

t.test('a streamed turn', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '10' } })
  const service = await startService(t, { engine })
  await ready(service)

  t.test('shows the parts of the answer as the AI SDK wants them, then the poll says the same', async (t) => {
    const stream = await ask(service, 'Please think: what is 17 * 23?')
    t.equal(stream.status, 200)
    const runId = stream.headers.get('x-run-id')
    const conversationId = stream.headers.get('x-conversation-id')
    t.match(Object.fromEntries(stream.headers), {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      'x-vercel-ai-ui-message-stream': 'v1',
      location: `/api/agent/chat/${runId}`,
    })
    t.equal(await stream.closed, 'end')
    const { events } = stream
    t.match(events[0], { id: 0, chunk: { type: 'start', messageMetadata: { runId, conversationId } } })
    t.same(events.at(-1), {}, 'the last event is [DONE], without an id')
    for (const type of [
      'reasoning-delta',
      'tool-input-available',
      'tool-output-available',
      'text-delta',
      'finish',
    ])
      t.ok(typesOf(events).includes(type), type)
    t.notOk(typesOf(events).includes('data-usage'), 'what the worker tells the service alone is not shown')
    const ids = events.slice(0, -1).map(({ id }) => id ?? -1)
    t.same(
      ids,
      [...ids].sort((a, b) => a - b),
    )
    t.equal(new Set(ids).size, ids.length)

    const poll = await service.call('GET', `/api/agent/chat/${runId}`)
    t.match(poll.body, { status: 'completed', text: textOf(events), conversationId })
    const messages = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.equal(messages.body.data.at(-1).id, events[0]?.chunk.messageId, 'one id in stream and conversation')
  })

  t.test('takes only the last message when the conversation is named, and seeds it otherwise', async (t) => {
    const page = [
      userMessage('My name is Ada'),
      { id: 'x', role: 'assistant', parts: [{ type: 'step-start' }, { type: 'text', text: 'Hello Ada.' }] },
      userMessage('What is my name?'),
    ]
    const seeded = await openStream(service, STREAM, {
      body: { id: 'chat of the page', currentPage: 3, messages: page },
    })
    await seeded.closed
    t.equal(textOf(seeded.events), 'Your name is Ada.')
    const conversationId = seeded.headers.get('x-conversation-id')
    const invented = [userMessage('My name is Eve'), userMessage('What is my name?')]
    const second = await openStream(service, STREAM, { body: { conversationId, messages: invented } })
    await second.closed
    t.equal(textOf(second.events), 'Your name is Ada.', 'the stored history is the truth')
    const stored = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.same(
      stored.body.data.map((message: { text: string }) => message.text),
      [
        'My name is Ada',
        'Hello Ada.',
        'What is my name?',
        'Your name is Ada.',
        'What is my name?',
        'Your name is Ada.',
      ],
    )
  })

  t.test('refuses bodies that it cannot answer, each with its reason', async (t) => {
    const refused = async (body: object) => (await service.call('POST', STREAM, { body })).body
    const file = { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AA==' }
    const table: [object, object][] = [
      [{ messages: [] }, { errors: [{ path: '/messages' }] }],
      [{}, { errors: [{ path: '/messages' }] }],
      [{ messages: [{ role: 'assistant', parts: [] }] }, { errors: [{ path: '/messages/0/role' }] }],
      [{ messages: [{ role: 'user', parts: [] }] }, { errors: [{ path: '/messages/0/parts' }] }],
      [{ messages: [{ role: 'user', parts: [file] }] }, { errors: [{ path: '/messages/0/parts/0' }] }],
      [{ messages: [userMessage(' \n')] }, { errors: [{ path: '/messages/0/parts' }] }],
      [{ messages: [userMessage('Hi')], conversationId: 'mine' }, { errors: [{ path: '/conversationId' }] }],
    ]
    for (const [body, reason] of table)
      t.match(await refused(body), { status: 400, code: 'invalid_request', ...reason }, JSON.stringify(body))
    const foreign = { messages: [userMessage('Hi')], conversationId: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f' }
    t.match(await refused(foreign), { status: 404, code: 'conversation_not_found' })
    const query = await service.call('POST', `${STREAM}?ui=8`, { body: { messages: [userMessage('Hi')] } })
    t.match(query.body, { status: 400, errors: [{ in: 'query', path: '/ui' }] })
  })

  t.test('replays the same stream from its first frame when the key is repeated', async (t) => {
    const headers = { 'idempotency-key': 'stream-1' }
    const first = await ask(service, 'Tell me a story of 2 sentences', { headers })
    const during = await ask(service, 'Tell me a story of 2 sentences', { headers })
    await Promise.all([first.closed, during.closed])
    const after = await ask(service, 'Tell me a story of 2 sentences', { headers })
    await after.closed
    for (const replayed of [during, after]) {
      t.equal(replayed.headers.get('idempotency-replayed'), 'true')
      t.same(replayed.events, first.events)
    }
    const other = await ask(service, 'Something else', { headers })
    t.equal(other.status, 422)
  })

  t.test('is not shown again once its conversation was deleted', async (t) => {
    const headers = { 'idempotency-key': 'deleted' }
    const first = await ask(service, 'Tell me a story of 2 sentences', { headers })
    await first.closed
    const conversationId = first.headers.get('x-conversation-id')
    await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
    const again = await service.call('POST', STREAM, {
      headers,
      body: { messages: [userMessage('Tell me a story of 2 sentences')] },
    })
    t.match(again, { status: 404, body: { code: 'run_not_found' } })
    t.equal(again.headers.get('location'), null)
  })

  t.test('goes on without the client that asked for it', async (t) => {
    const stream = await ask(service, 'Tell me a story of 6 sentences')
    await stream.until(({ chunk }) => chunk?.type === 'text-delta')
    stream.leave()
    t.equal(await stream.closed, 'cut')
    const seen = textOf(stream.events)
    const run = await service.ended(stream.headers.get('x-run-id') ?? '')
    t.equal(run.body.status, 'completed')
    t.ok(run.body.text.startsWith(seen) && run.body.text.length > seen.length, 'the whole answer is there')
  })

  t.test('of a failed run ends with its error, and the poll keeps what was said', async (t) => {
    const stream = await ask(service, '[[fail-after:5]] Tell me a story')
    t.equal(await stream.closed, 'end')
    const run = await service.call('GET', `/api/agent/chat/${stream.headers.get('x-run-id')}`)
    t.match(run.body, { status: 'failed', errorCode: 'provider_error', text: textOf(stream.events) })
    t.same(typesOf(stream.events).slice(-2), ['error', '[DONE]'])
    t.equal(stream.events.at(-2)?.chunk.errorText, run.body.error)
  })

  t.test('of a worker that dies ends with an error of the service, without an id', async (t) => {
    const stream = await ask(service, '[[crash]] Tell me a story')
    t.equal(await stream.closed, 'end')
    const [error, done] = stream.events.slice(-2)
    const run = await service.call('GET', `/api/agent/chat/${stream.headers.get('x-run-id')}`)
    t.match(run.body, { status: 'failed', errorCode: 'crashed', text: textOf(stream.events) })
    t.same(error, { chunk: { type: 'error', errorText: run.body.error } })
    t.same(done, {})
  })

  t.test('is cut when the token ends, never ended', async (t) => {
    const authorization = `Bearer ${await token('alice', {}, '6s')}`
    const stream = await ask(service, '[[tool-stall:30]] wait', { headers: { authorization } })
    await stream.until(({ chunk }) => chunk?.type === 'tool-input-available')
    t.equal(await stream.closed, 'cut')
    t.notOk(typesOf(stream.events).includes('[DONE]'))
    const again = await openStream(service, `/api/agent/chat/${stream.headers.get('x-run-id')}/stream`, {
      headers: { 'last-event-id': String(stream.events.at(-1)?.id) },
    })
    t.equal(again.status, 200, 'a new token goes on where the old one ended')
    again.leave()
    await service.call('POST', `/api/agent/chat/${stream.headers.get('x-run-id')}/cancel`)
  })
})

t.test('a service that drains cuts its streams at once and another one goes on with them', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '30' } })
  const draining = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: draining.databaseUrl })
  await ready(draining, other)
  const stream = await ask(draining, 'Tell me a story of 6 sentences')
  await stream.until(({ chunk }) => chunk?.type === 'text-delta')
  await draining.close()
  t.equal(await stream.closed, 'cut')
  t.same(draining.app.streams.stats(), { ...draining.app.streams.stats(), viewers: 0, logs: 0 })
  const runId = stream.headers.get('x-run-id') ?? ''
  const rest = await openStream(other, `/api/agent/chat/${runId}/stream`, {
    headers: { 'last-event-id': String(stream.events.at(-1)?.id) },
  })
  t.equal(await rest.closed, 'end')
  const whole = textOf([...stream.events, ...rest.events])
  t.equal((await other.ended(runId)).body.text, whole)
})

t.test('a turn that was started while the service began to drain is told to its caller', async (t) => {
  const engine = await startEngine(t)
  const proxy = await startToxicProxy(engine.url)
  t.teardown(() => proxy.stop())
  const draining = await startService(t, { engine: { ...engine, url: proxy.url } })
  const other = await startService(t, { engine, databaseUrl: draining.databaseUrl })
  await ready(draining, other)
  proxy.toxics.delayMs = 300
  const asked = ask(draining, 'What is 2 + 3?')
  while (!proxy.requests.has('POST /api/v1/tasks/agent-chat/trigger')) await setImmediate()
  const closed = draining.close()
  const stream = await asked
  t.equal(stream.status, 200)
  const runId = stream.headers.get('x-run-id') ?? ''
  t.match(runId, /^run_/)
  t.match(stream.headers.get('x-conversation-id'), /-/)
  t.equal(stream.headers.get('location'), `/api/agent/chat/${runId}`)
  t.equal(await stream.closed, 'cut')
  await closed
  const rest = await openStream(other, `/api/agent/chat/${runId}/stream`)
  t.equal(await rest.closed, 'end')
  t.equal(textOf(rest.events), '2 + 3 = 5.')
  t.equal((await other.call('GET', '/api/agent/chat')).body.data.length, 1, 'one run')
})
