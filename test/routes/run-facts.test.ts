import t from 'tap'
import type { RegisteredAgent } from '../../src/agent/definition.ts'
import { agents } from '../../src/agents/index.ts'
import { openStream, ready } from '../streams/sse.ts'
import { startCollector } from '../support/collector.ts'
import { startEngine, startService, token } from '../support/service.ts'

const CHAT = '/api/agent/chat'

t.test('what a run says beside its answer', async (t) => {
  const service = await startService(t)
  await ready(service)
  const sync = async (message: string, body: object = {}) =>
    (await service.call('POST', `${CHAT}/sync`, { body: { message, ...body } })).body

  for (const { message, finishReason, steps } of [
    { message: 'Hello', finishReason: 'stop', steps: 1 },
    { message: 'What is 17 * 23?', finishReason: 'stop', steps: 2 },
    { message: '[[length]]', finishReason: 'length', steps: 1 },
    { message: '[[filter]]', finishReason: 'content_filter', steps: 1 },
    { message: '[[loop]]', finishReason: 'step_limit', steps: 8 },
    { message: '[[tool-again]]', finishReason: 'tool_loop', steps: 3 },
  ]) {
    t.test(`an answer that ends with ${finishReason} after ${steps} steps says so everywhere`, async (t) => {
      const run = await sync(message)
      t.match(run, { status: 'completed', finishReason, steps, text: /\w/ })
      const poll = await service.call('GET', `${CHAT}/${run.runId}`)
      t.same(poll.body, run)
      const list = await service.call('GET', `${CHAT}?runId=${run.runId}`)
      const { finishReason: reason, steps: calls, model, usage, timings } = list.body.data[0]
      t.same(
        { reason, calls, model, usage, timings },
        { reason: finishReason, calls: steps, model: run.model, usage: run.usage, timings: run.timings },
      )
      const thread = await service.call('GET', `/api/agent/conversations/${run.conversationId}/messages`)
      const [question, answer] = thread.body.data
      t.equal(question.finishReason, undefined)
      t.equal(answer.finishReason, finishReason)
      t.equal(answer.metadata.finishReason, finishReason)
    })
  }

  t.test('the last part of a stream carries what the poll says', async (t) => {
    const stream = await openStream(service, `${CHAT}/stream`, {
      body: { messages: [{ role: 'user', parts: [{ type: 'text', text: 'What is 17 * 23?' }] }] },
    })
    const finish = (await stream.until(({ chunk }) => chunk?.type === 'finish')).chunk
    const { body } = await service.ended(String(stream.headers.get('x-run-id')))
    t.match(finish.messageMetadata, { finishReason: 'stop', model: /./ })
    t.notOk('steps' in finish.messageMetadata, 'assistant-ui would take the number of steps for a list')
    for (const name of ['finishReason', 'model', 'usage', 'timings'])
      t.same(finish.messageMetadata[name], body[name], name)
    const { queuedMs, firstTokenMs, durationMs } = body.timings
    t.ok(queuedMs >= 0 && firstTokenMs >= 0 && durationMs >= firstTokenMs, JSON.stringify(body.timings))
  })

  t.test('failed and cancelled runs say what they have used, and no reason', async (t) => {
    const failed = await sync('[[fail-after:5]] Tell me a story')
    t.match(failed, {
      status: 'failed',
      steps: 1,
      model: /./,
      usage: { estimated: true },
      timings: { durationMs: Number },
    })
    t.notOk('finishReason' in failed)
    const { body } = await service.call('POST', CHAT, {
      body: { message: 'Tell me a story of 500 sentences' },
    })
    const stream = await openStream(service, `${CHAT}/${body.runId}/stream`)
    await stream.until(({ chunk }) => chunk?.type === 'text-delta')
    const cancelled = (await service.call('POST', `${CHAT}/${body.runId}/cancel`)).body
    t.match(cancelled, { status: 'cancelled', steps: 1, model: /./, usage: { totalTokens: Number } })
    t.notOk('finishReason' in cancelled)
    const thread = await service.call('GET', `/api/agent/conversations/${body.conversationId}/messages`)
    t.notOk('finishReason' in thread.body.data[1])
  })

  t.test('the time after which the provider allows another call is passed on', async (t) => {
    const { body } = await service.call('POST', CHAT, { body: { message: '[[tool-stall:60]]' } })
    const now = new Date()
    await service.app.services.settle(body.runId, {
      runId: body.runId,
      status: 'failed',
      tags: [],
      createdAt: now,
      startedAt: now,
      finishedAt: now,
      failureCode: 'provider_rate_limited',
      retryAfter: 7,
    })
    const poll = await service.call('GET', `${CHAT}/${body.runId}`)
    t.match(poll.body, { status: 'failed', retryable: true, retryAfter: 7 })
    t.equal(poll.headers.get('retry-after'), null, 'the header belongs to polls of unfinished runs')
  })
})

t.test('a run shows its owner who called for her', async (t) => {
  const service = await startService(t)
  await ready(service)
  const delegated = async (act: object) => ({
    authorization: `Bearer ${await token('gateway', { scope: 'agent:read agent:write agent:delegate', act })}`,
    'x-effective-user': 'alice',
  })
  const headers = await delegated({ sub: 'shop', act: { sub: 'edge' } })
  const { body } = await service.call('POST', `${CHAT}/sync`, { headers, body: { message: 'Hello' } })
  t.equal(body.actor, 'gateway, shop, edge')
  const own = await service.call('GET', `${CHAT}/${body.runId}`)
  t.equal(own.body.actor, 'gateway, shop, edge')
  const list = await service.call('GET', `${CHAT}?runId=${body.runId}`)
  t.equal(list.body.data[0].actor, 'gateway, shop, edge')
  const alone = await service.call('POST', `${CHAT}/sync`, { body: { message: 'Hello' } })
  t.notOk('actor' in alone.body)
  t.match((await service.app.engine.get(body.runId))?.payload, {
    caller: {
      userId: 'alice',
      actor: 'gateway, shop, edge',
      scopes: ['agent:read', 'agent:write', 'agent:delegate'],
    },
  })
})

t.test('the context of a request', async (t) => {
  const collector = await startCollector(t)
  const lines: string[] = []
  const engine = await startEngine(t)
  const service = await startService(t, {
    engine,
    environment: { LOG_LEVEL: 'trace', OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
    logger: { stream: { write: (line: string) => void lines.push(line) } },
  })
  await ready(service)
  const MARK = 'marker-of-the-context-8f3a'
  const context = { shop: MARK, nested: { [MARK]: [1, true, null] } }

  t.test('reaches the run and nothing that callers or operators read', async (t) => {
    const answers: string[] = []
    const seen = async (method: string, path: string, body?: object) => {
      const answer = await service.call(method, path, body === undefined ? {} : { body })
      answers.push(JSON.stringify([answer.body, [...answer.headers]]))
      return answer
    }
    const run = (await seen('POST', `${CHAT}/sync`, { message: 'Hello', context })).body
    t.equal(run.status, 'completed')
    t.same((await service.app.engine.get(run.runId))?.payload?.context, context)
    await seen('GET', `${CHAT}/${run.runId}`)
    await seen('GET', CHAT)
    await seen('GET', `/api/agent/conversations/${run.conversationId}/messages`)
    await seen('GET', '/api/agent/conversations')
    const stream = await openStream(service, `${CHAT}/${run.runId}/stream`)
    await stream.closed
    answers.push(stream.body())
    const failed = (await seen('POST', `${CHAT}/sync`, { message: '[[fail]]', context })).body
    t.equal(failed.status, 'failed')
    await collector.span(({ name }) => name === 'POST /api/agent/chat/sync')
    for (const [where, text] of [
      ['answers', answers.join('\n')],
      ['log lines', lines.join('\n')],
      ['traces', collector.text()],
    ] as const) {
      t.ok(text.length > 100, `there are ${where}`)
      t.notOk(text.includes(MARK), `no ${where} hold it`)
    }
    const rows = await service.app.database.run((db) =>
      db.selectFrom('turns').select(['input', 'metadata']).execute(),
    )
    t.notOk(JSON.stringify(rows).includes(MARK), 'no row holds it')
  })

  t.test('of a stream holds the current page of the body', async (t) => {
    const said = async (body: object) => {
      const messages = [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }]
      const stream = await openStream(service, `${CHAT}/stream`, { body: { messages, ...body } })
      await stream.closed
      return (await service.app.engine.get(String(stream.headers.get('x-run-id'))))?.payload?.context
    }
    t.same(await said({ currentPage: '/cart' }), { currentPage: '/cart' })
    t.same(await said({ currentPage: '/cart', context: { shop: 'a' } }), { currentPage: '/cart', shop: 'a' })
    t.same(await said({ currentPage: '/a', context: { currentPage: '/b' } }), { currentPage: '/b' })
    t.equal(await said({ currentPage: { not: 'a text' } }), undefined)
  })

  t.test('is at most 16 KiB, and an object', async (t) => {
    const start = (value: unknown) =>
      service.call('POST', CHAT, { body: { message: 'Hello', context: value } })
    const room = 16 * 1024 - '{"a":""}'.length
    t.equal((await start({ a: 'x'.repeat(room) })).status, 202)
    for (const [value, message] of [
      [{ a: 'x'.repeat(room + 1) }, 'must have at most 16 KiB as JSON'],
      [{ a: 'ä'.repeat(room / 2 + 1) }, 'must have at most 16 KiB as JSON'],
      [[], 'must be an object or null'],
      ['text', 'must be an object or null'],
    ] as const)
      t.match(await start(value), {
        status: 400,
        body: { code: 'invalid_request', errors: [{ path: '/context', message }] },
      })
    t.equal((await start(null)).status, 202)
  })

  t.test('has no field of a name that Trigger.dev does not carry', async (t) => {
    const start = (value: object) =>
      service.call('POST', CHAT, { body: { message: 'Hello', context: value } })
    const message = 'must have another name: Trigger.dev does not carry this one'
    t.match(await start({ constructor: 'x', list: [{ prototype: 1 }] }), {
      status: 400,
      body: {
        errors: [
          { path: '/context/constructor', message },
          { path: '/context/list/0/prototype', message },
        ],
      },
    })
    t.equal((await start({ toJSON: 1, hasOwnProperty: 2, '': 3 })).status, 202)
  })

  t.test('is part of what a key stands for', async (t) => {
    const start = (value?: object) =>
      service.call('POST', CHAT, {
        body: { message: 'Hello', ...(value === undefined ? {} : { context: value }) },
        headers: { 'idempotency-key': 'with-context' },
      })
    const first = await start({ a: 1, b: { c: 2, d: 3 } })
    const again = await start({ b: { d: 3, c: 2 }, a: 1 })
    t.equal(again.headers.get('idempotency-replayed'), 'true')
    t.equal(again.body.runId, first.body.runId)
    t.equal((await start({ a: 2, b: { c: 2, d: 3 } })).body.code, 'idempotency_key_mismatch')
    t.equal((await start()).body.code, 'idempotency_key_mismatch')
  })
})

t.test('an agent may say which context it takes', async (t) => {
  const service = await startService(t, {
    agents: {
      default: {
        ...agents.default,
        card: {
          description: 'Sells.',
          contextSchema: {
            type: 'object',
            properties: {
              shop: { type: 'string', minLength: 1 },
              cart: { type: 'array', items: { type: 'integer' } },
            },
            required: ['shop'],
            additionalProperties: false,
          },
        },
      } as RegisteredAgent,
    },
  })
  await ready(service)
  const start = (context?: object) =>
    service.call('POST', CHAT, { body: { message: 'Hello', ...(context === undefined ? {} : { context }) } })
  t.equal((await start({ shop: 'a', cart: [1, 2] })).status, 202)
  t.match(await start(), {
    status: 400,
    body: { errors: [{ path: '/context/shop', message: 'is required' }] },
  })
  t.match(await start({ shop: '', cart: [1, 'x'], more: 1 }), {
    status: 400,
    body: {
      errors: [
        { path: '/context/more', message: 'is not known here' },
        { path: '/context/shop', message: 'must not be empty' },
        { path: '/context/cart/1', message: 'must be an integer' },
      ],
    },
  })
  const messages = [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }]
  for (const [path, body] of [
    [`${CHAT}/sync`, { message: 'Hello', context: {} }],
    [`${CHAT}/stream`, { messages, context: {} }],
  ] as const)
    t.match(await service.call('POST', path, { body }), {
      status: 400,
      body: { errors: [{ path: '/context/shop', message: 'is required' }] },
    })
})
