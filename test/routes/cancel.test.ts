import t from 'tap'
import { until } from '../services/rows.ts'
import { openStream, typesOf } from '../streams/sse.ts'
import { startProxy } from '../support/proxy.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

const start = async ({ call }: Service, message: string, conversationId?: string) =>
  (await call('POST', CHAT, { body: { message, ...(conversationId && { conversationId }) } })).body
const cancel = ({ call }: Service, runId: string) => call('POST', `${CHAT}/${runId}/cancel`)
const running = ({ call }: Service, runId: string) =>
  until(async () => (await call('GET', `${CHAT}/${runId}`)).body.status === 'running')

t.test('a cancelled run', async (t) => {
  const service = await startService(t)
  const messages = async (conversationId: string) =>
    (await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)).body.data

  t.test('that was queued says nothing, and those in front and behind go on', async (t) => {
    const { runId: first, conversationId } = await start(service, '[[stall-after:3]]')
    await running(service, first)
    const { runId: second } = await start(service, 'What is 1 + 1?', conversationId)
    const { runId: third } = await start(service, 'What is 2 + 2?', conversationId)
    const cancelled = await cancel(service, second)
    t.match(cancelled, { status: 200, body: { status: 'cancelled', cancelRequestedAt: String, text: '' } })
    t.notOk('startedAt' in cancelled.body)
    t.equal((await service.call('GET', `${CHAT}/${first}`)).body.status, 'running')
    const stream = await openStream(service, `${CHAT}/${second}/stream`)
    t.equal(await stream.closed, 'end')
    t.same(typesOf(stream.events), ['start', 'abort', '[DONE]'])
    t.match((await cancel(service, first)).body, { status: 'cancelled' })
    t.match((await service.ended(third)).body, { status: 'completed', text: '2 + 2 = 4.' })
    const whole = (await messages(conversationId)).filter(
      ({ status }: { status: string }) => status === 'complete',
    )
    t.same(
      whole.map(({ text }: { text: string }) => text),
      ['[[stall-after:3]]', 'What is 1 + 1?', 'What is 2 + 2?', '2 + 2 = 4.'],
    )
  })

  t.test('whose tool is deaf to its signal calls no other tool, and the call is closed', async (t) => {
    const { runId, conversationId } = await start(service, '[[loop:1]]')
    const stream = await openStream(service, `${CHAT}/${runId}/stream`)
    let calls = 0
    await stream.until(({ chunk }) => chunk?.type === 'tool-input-available' && ++calls === 2)
    t.match((await cancel(service, runId)).status, 200)
    const { body } = await service.ended(runId)
    t.match(body, { status: 'cancelled', cancelRequestedAt: String, text: '' })
    t.equal(await stream.closed, 'end')
    t.same(typesOf(stream.events).slice(-2), ['abort', '[DONE]'])
    t.equal(typesOf(stream.events).filter((type) => type === 'tool-input-available').length, 2)
    const next = await start(service, 'What is 3 * 3?', conversationId)
    t.match((await service.ended(next.runId)).body, { status: 'completed', text: '3 * 3 = 9.' })
    const [, answer] = await messages(conversationId)
    const tools = answer.parts.filter(({ type }: { type: string }) => type === 'tool-sleep')
    t.match(tools, [{ state: 'output-available' }, { state: 'output-error', errorText: 'cancelled' }])
    t.equal(tools.length, 2)
  })
})

t.test('the wish to cancel', async (t) => {
  const engine = await startEngine(t)
  const proxy = await startProxy(t, engine.url)
  const service = await startService(t, { engine: { ...engine, url: proxy.url } })

  t.test('outlives an engine that is away', async (t) => {
    const { runId } = await start(service, '[[stall-after:3]]')
    await running(service, runId)
    await proxy.cut()
    const answer = await cancel(service, runId)
    t.match(answer, {
      status: 503,
      body: { code: 'engine_unavailable', retryable: true, retryAfter: Number },
    })
    t.equal(answer.headers.get('retry-after'), String(answer.body.retryAfter))
    const kept = await service.call('GET', `${CHAT}/${runId}`)
    t.match(kept, { status: 200, body: { status: 'running', cancelRequestedAt: String } })
    await proxy.mend()
    t.match((await service.ended(runId)).body, {
      status: 'cancelled',
      cancelRequestedAt: kept.body.cancelRequestedAt,
      text: /\w/,
    })
  })

  t.test('is answered with the run as it is while the engine is slow, and comes true', async (t) => {
    const { runId } = await start(service, '[[stall-after:3]]')
    await running(service, runId)
    proxy.hang()
    t.match(await cancel(service, runId), {
      status: 200,
      body: { status: 'running', cancelRequestedAt: String },
    })
    await proxy.mend()
    t.match((await service.ended(runId)).body, { status: 'cancelled', text: /\w/ })
  })
})
