import t from 'tap'
import { ready } from '../streams/sse.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

t.test('a retry with options of its own', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startService(t, {
    environment: {
      ...webhookSettings([], [receiver.origin]),
      BUDGET_TOKENS_PER_USER_DAY: '1000000',
      BUDGET_TOKENS_PER_RUN: '5000',
    },
  })
  await ready(service)
  const retry = (runId: string, body: object = {}, headers: Record<string, string> = {}) =>
    service.call('POST', `${CHAT}/${runId}/retry`, { body, headers })
  const ended = async (body: object) =>
    (await service.ended((await service.call('POST', CHAT, { body })).body.runId)).body
  const again = async (runId: string, body?: object) =>
    (await service.ended((await retry(runId, body)).body.runId)).body

  t.test('takes limits, and none of those of the run that it repeats', async (t) => {
    const first = await ended({ message: '[[loop]]', limits: { maxSteps: 1 } })
    t.match(first, { finishReason: 'step_limit', steps: 1 })
    const second = await again(first.runId, { limits: { maxSteps: 2 } })
    t.match(second, { status: 'completed', finishReason: 'step_limit', steps: 2, retryOf: first.runId })
    t.match(await again(second.runId, { limits: { maxTotalTokens: 300 } }), { finishReason: 'token_limit' })
  })

  t.test('takes a form of the answer, and the next one has none', async (t) => {
    const first = await ended({ message: 'Answer with {"city": "Bonn"}' })
    t.notOk('output' in first)
    const responseFormat = { type: 'json_schema', name: 'city', schema: { type: 'object' } }
    const second = await again(first.runId, { responseFormat })
    t.same(second.output, { city: 'Bonn' })
    const third = await again(second.runId)
    t.notOk('output' in third)
    t.same((await service.call('GET', `${CHAT}/${second.runId}`)).body.output, { city: 'Bonn' })
  })

  t.test('reports its end to its own address, and the repeated run to its own', async (t) => {
    const at = (path: string) => ({ webhook: { url: `${receiver.origin}${path}` } })
    const live = (
      await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] a', ...at('/old') } })
    ).body
    const { body } = await retry(live.runId, { ifBusy: 'interrupt', ...at('/new') })
    await service.call('POST', `${CHAT}/${body.runId}/cancel`)
    const last = await again(body.runId, { limits: { maxSeconds: 1 } })
    const received = await receiver.until(({ length }) => length >= 2)
    t.same(
      received.map(({ path, body: { type, data } }) => [path, type, data.runId]).sort(),
      [
        ['/new', 'run.cancelled', body.runId],
        ['/old', 'run.cancelled', live.runId],
      ],
      'a retry without an address reports to none',
    )
    t.match(last, { finishReason: 'time_limit' })
  })

  t.test('has its options in what its key stands for', async (t) => {
    const { runId } = await ended({ message: 'What is 1 + 1?' })
    const headers = { 'idempotency-key': 'with options' }
    const limits = { maxSteps: 3, maxSeconds: 60 }
    const first = await retry(runId, { limits }, headers)
    t.equal(first.status, 202)
    const same = await retry(runId, { limits: { maxSeconds: 60, maxSteps: 3 }, context: null }, headers)
    t.equal(same.body.runId, first.body.runId, 'the order of fields makes no difference')
    for (const other of [
      {},
      { limits: { maxSteps: 3 } },
      { limits, context: { a: 1 } },
      { limits, metadata: { a: 'b' } },
      { limits, responseFormat: { type: 'json_schema', name: 'a', schema: { type: 'object' } } },
      { limits, webhook: { url: `${receiver.origin}/new` } },
    ])
      t.match(await retry(runId, other, headers), {
        status: 422,
        body: { code: 'idempotency_key_mismatch' },
      })
    await service.ended(first.body.runId)
  })

  t.test('is refused as a start is, and leaves the answer where it was', async (t) => {
    const { runId, conversationId } = await ended({ message: 'What is 2 + 2?' })
    for (const body of [
      [],
      { limits: { maxSteps: 0 } },
      { limits: { maxTokens: 5 } },
      { message: 'What is 3 + 3?' },
      { retryOf: 'run_x' },
      { webhook: { url: 'http://127.0.0.1:1/' } },
      { responseFormat: { type: 'json_schema', name: 'a', schema: { $ref: 'http://127.0.0.1/x' } } },
      { metadata: { a: '\u0000' } },
    ])
      t.match(
        await retry(runId, body as object),
        { status: 400, body: { code: 'invalid_request' } },
        JSON.stringify(body),
      )
    const { data } = (await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)).body
    t.match(data, [{ text: 'What is 2 + 2?' }, { runId, text: '2 + 2 = 4.' }])
    t.match((await service.call('GET', '/api/agent/usage')).body.budget.user, { reserved: 0 })
  })
})
