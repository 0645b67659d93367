import { test } from 'tap'
import { secretOf, startReceiver, verified, webhookSettings } from '../support/receiver.ts'
import { startService } from '../support/service.ts'

test('the end of a run is reported to the endpoints that want it, signed, and without texts', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startService(t, {
    environment: webhookSettings([
      { name: 'billing', url: `${receiver.origin}/billing`, events: ['run.completed'], users: ['alice'] },
      { name: 'archive', url: `${receiver.origin}/archive`, contents: true },
    ]),
  })
  const body = { message: 'What is 17 * 23?', metadata: { ticket: 'T-1' } }
  const started = await service.call('POST', '/api/agent/chat', { body })
  const { runId, conversationId } = started.body
  const run = await service.ended(runId)
  const received = await receiver.until(({ length }) => length >= 2)
  const of = (path: string) => received.find((one) => one.path === path) as (typeof received)[0]

  const thin = of('/billing')
  t.same(thin.body, verified(thin, secretOf('billing')), 'the reference library verifies the signature')
  t.throws(() => verified(thin, secretOf('archive')), 'each endpoint has a secret of its own')
  t.match(thin.body, {
    type: 'run.completed',
    data: {
      userId: 'alice',
      runId,
      conversationId,
      status: 'completed',
      finishReason: 'stop',
      metadata: { ticket: 'T-1' },
    },
  })
  t.same(thin.body.data.usage, run.body.usage)
  t.notOk('text' in thin.body.data)
  t.notMatch(thin.text, /391|17 \*/)
  t.equal(of('/archive').body.data.text, run.body.text)
  t.not(thin.headers['webhook-id'], of('/archive').headers['webhook-id'])

  const other = await service.call('POST', '/api/agent/chat', { user: 'bob', body })
  await service.ended(other.body.runId, 'bob')
  await receiver.until(({ length }) => length >= 3)
  t.strictSame(
    received.slice(2).map(({ path }) => path),
    ['/archive'],
    'an endpoint gets the events of its users',
  )

  await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
  await receiver.until(({ length }) => length >= 4)
  t.match(received[3], {
    path: '/archive',
    body: { type: 'conversation.deleted', data: { userId: 'alice', conversationId } },
  })
})

test('a start names the receiver of its end, at an origin that the operator allows', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startService(t, { environment: webhookSettings([], [receiver.origin]) })
  const start = (url: string, path = '/api/agent/chat') =>
    service.call('POST', path, { body: { message: 'hi', webhook: { url } } })
  for (const url of [
    'http://127.0.0.1:1/hook',
    'nowhere',
    `${receiver.origin.replace('//', '//me@')}/hook`,
    `blob:${receiver.origin}/hook`,
  ]) {
    const refused = await start(url)
    t.match(refused, { status: 400, body: { errors: [{ path: '/webhook/url' }] } }, url)
  }
  const { runId } = (await start(`${receiver.url}?for=me`)).body
  const [sent] = await receiver.until(({ length }) => length > 0)
  t.match(sent, { path: '/hook?for=me', body: { type: 'run.completed', data: { runId } } })
  t.ok(sent && verified(sent, secretOf('starts')))

  const keyed = (webhook: object) =>
    service.call('POST', '/api/agent/chat', {
      body: { message: 'hi', ...webhook },
      headers: { 'idempotency-key': 'one' },
    })
  const first = await keyed({ webhook: { url: receiver.url } })
  t.equal((await keyed({ webhook: { url: receiver.url } })).body.runId, first.body.runId)
  t.equal((await keyed({})).status, 422, 'the webhook is part of what a key stands for')
  const streamed = await service.call('POST', '/api/agent/chat/stream', {
    body: {
      messages: [{ role: 'user', parts: [{ type: 'text', text: 'hi' }] }],
      webhook: { url: receiver.url },
    },
  })
  t.equal(streamed.status, 200)
  await receiver.until(({ length }) => length === 3)
  t.strictSame(new Set(receiver.received.map(({ body }) => body.data.runId)).size, 3)
})
