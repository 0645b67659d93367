import t from 'tap'
import { parseEvents, typesOf } from '../streams/sse.ts'
import { openFeed } from '../support/feed-client.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { startService } from '../support/service.ts'
import { APPROVE, answer, ask } from './asking.ts'

const isOf =
  (runId: string) =>
  ({ body }: { body: { data: { runId?: string } } }): boolean =>
    body.data.runId === runId

t.test('lists, streams, webhooks and the feed tell that a turn waits', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startService(t, {
    environment: webhookSettings([
      { name: 'shop', url: receiver.url, events: ['run.action_required'] },
      { name: 'inbox', url: `${receiver.url}?contents`, events: ['run.action_required'], contents: true },
    ]),
  })
  const feed = await openFeed(service)
  const stream = await service.call('POST', '/api/agent/chat/stream?ui=7', {
    body: { messages: [{ role: 'user', parts: [{ type: 'text', text: '[[approve-and-ask]]' }] }] },
  })
  const events = parseEvents(stream.body as never)
  const request = events.find(({ chunk }) => chunk?.type === 'tool-approval-request')?.chunk
  const finish = events.find(({ chunk }) => chunk?.type === 'finish')?.chunk
  const { runId = '', conversationId } = events[0]?.chunk.messageMetadata ?? {}
  t.match(finish.messageMetadata, { finishReason: 'action_required' })
  const { body: run } = await service.ended(runId)
  t.match(run.pendingActions, [
    { actionId: request.approvalId, kind: 'approval', toolName: 'send_note', args: { to: 'Ada' } },
    { kind: 'tool_result', toolName: 'choose_option' },
  ])
  t.same(
    finish.messageMetadata.pendingActions,
    run.pendingActions,
    'the stream and the poll have the same pending actions',
  )
  t.match(run.toolCalls, [{ toolName: 'send_note' }, { toolName: 'choose_option' }])
  t.notOk(run.toolCalls.some((call: object) => 'result' in call))

  const older = await service.call('POST', '/api/agent/chat/stream?ui=5', {
    body: { messages: [{ role: 'user', parts: [{ type: 'text', text: '[[approve]]' }] }] },
  })
  t.notOk(typesOf(parseEvents(older.body as never)).includes('tool-approval-request'))
  const [, other] = (await service.call('GET', '/api/agent/chat')).body.data.toReversed()
  await service.ended(other.runId)
  t.equal(
    (await feed.until(({ type, data }) => type === 'run.action_required' && data.runId === runId)).data
      .conversationId,
    conversationId,
  )
  const received = await receiver.until((received) => received.filter(isOf(runId)).length === 2)
  const [thin, whole] = ['/hook', '/hook?contents'].map(
    (wanted) => received.filter(isOf(runId)).find(({ path }) => path === wanted)?.body,
  )
  const { pendingActions } = run
  t.match(thin, {
    type: 'run.action_required',
    data: { runId, status: 'completed', finishReason: 'action_required' },
  })
  t.strictSame(
    thin.data.pendingActions,
    pendingActions.map(({ args: _, message: __, ...action }: Record<string, unknown>) => action),
    'a receiver without contents learns which calls wait, and not what they are about',
  )
  t.strictSame(whole.data.pendingActions, pendingActions)

  const pending = await service.call('GET', '/api/agent/chat?pending=true')
  t.same(
    pending.body.data.map((one: { runId: string }) => one.runId),
    [other.runId, runId],
  )
  const page = await service.call('GET', '/api/agent/actions?status=pending&limit=2')
  const rest = await service.call(
    'GET',
    `/api/agent/actions?status=pending&limit=2&cursor=${page.body.nextCursor}`,
  )
  t.equal(page.body.data.length + rest.body.data.length, 3)
  t.match(rest.body, { nextCursor: null, data: [{ runId, conversationId }] })
  const listed = [...page.body.data, ...rest.body.data].map(({ actionId }) => actionId)
  t.equal(new Set(listed).size, 3)
  t.ok(listed.includes(request.approvalId))
  t.same((await service.call('GET', '/api/agent/actions', { user: 'bob' })).body.data, [])

  const tag = async () => (await service.call('GET', `/api/agent/chat/${runId}`)).headers.get('etag') ?? ''
  const unchanged = async (etag: string) =>
    (await service.call('GET', `/api/agent/chat/${runId}`, { headers: { 'if-none-match': etag } })).status
  const first = await tag()
  t.equal(await unchanged(first), 304)
  await answer(service, runId, run.pendingActions[0].actionId, APPROVE)
  t.equal(await unchanged(first), 200, 'the tag of a poll changes when a call is answered')
  const second = await tag()
  const { body: answered } = await answer(service, runId, run.pendingActions[1].actionId, {
    output: { choice: 'red' },
  })
  t.equal(await unchanged(second), 200)
  t.equal(await unchanged(await tag()), 304)

  const next = parseEvents(
    (await service.call('GET', `/api/agent/chat/${answered.continuedBy}/stream?ui=7`)).body as never,
  )
  t.match(next[0]?.chunk, { type: 'start', messageId: run.messageId, messageMetadata: { conversationId } })
  const results = next
    .filter(({ chunk }) => chunk?.type === 'tool-output-available')
    .map(({ chunk }) => chunk.output)
  t.strictSame(
    new Set(results.map((one) => JSON.stringify(one))),
    new Set(['{"choice":"red"}', '{"sent":true,"to":"Ada"}']),
  )
  const ended = await service.ended(answered.continuedBy)
  t.match(ended.body, {
    messageId: run.messageId,
    continues: runId,
    toolCalls: [{ result: {} }, { result: { choice: 'red' } }],
  })
  await feed.until(({ type, data }) => type === 'message.stored' && data.runId === answered.continuedBy)
  feed.leave()
})

t.test('the model reads the error that a caller sends as the result of its tool', async (t) => {
  const service = await startService(t)
  const { runId, actions } = await ask(service, 'Let me choose: tea, coffee or milk')
  t.match(actions, [{ toolName: 'choose_option', args: { options: ['tea', 'coffee', 'milk'] } }])
  const answered = await answer(service, runId, actions[0]?.actionId ?? '', {
    error: 'The user has closed the page.',
  })
  t.match(answered.body, { status: 'answered', pending: 0 })
  const run = await service.ended(answered.body.continuedBy)
  t.match(run.body, { status: 'completed', text: /has closed the page/ })
})
