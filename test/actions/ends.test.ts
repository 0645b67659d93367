import t from 'tap'
import { query, until } from '../services/rows.ts'
import { type Service, startEngine, startService } from '../support/service.ts'
import { APPROVE, answer, ask, DENY, stampFile } from './asking.ts'

const statuses = (service: Service, runId: string) =>
  query<{ status: string }>(service, `select status from actions where run_id = '${runId}' order by id`).then(
    (rows) => rows.map(({ status }) => status),
  )
const say = async (service: Service, body: object) => {
  const started = await service.call('POST', '/api/agent/chat', { body })
  return service.ended(started.body.runId)
}
const messagesOf = async (service: Service, conversationId: string) =>
  (await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)).body.data

t.test('a turn stops waiting without answers to its actions', async (t) => {
  const engine = await startEngine(t)
  const service = await startService(t, { engine })
  t.jobs = 3

  t.test('a new message denies the pending calls, and the model reads the denial', async (t) => {
    const { runId, conversationId, actions } = await ask(service, '[[approve-and-ask]]')
    const next = await say(service, { message: 'Hello', conversationId })
    t.match(next.body, { status: 'completed', text: /Hello/ })
    t.same(await statuses(service, runId), ['denied', 'denied'])
    const late = await answer(service, runId, actions[0]?.actionId ?? '', APPROVE)
    t.match(late, { status: 409, body: { decision: { status: 'denied' } } })
    t.notOk(late.body.decision.decidedBy)
    t.match((await messagesOf(service, conversationId))[1].parts.slice(1), [
      { state: 'output-denied', approval: { approved: false, reason: 'The conversation went on.' } },
      { state: 'output-error', errorText: 'The conversation went on.' },
    ])
    const { body } = await service.call('GET', `/api/agent/chat/${runId}`)
    t.match(body, { finishReason: 'action_required', pendingActions: undefined, continuedBy: undefined })
  })

  t.test(
    'a call that was approved before a new message is executed before the turn of that message',
    async (t) => {
      const { file, lines } = stampFile(t)
      const { runId, conversationId, actions } = await ask(service, `[[stamp:2]] file ${file}`)
      await answer(service, runId, actions[0]?.actionId ?? '', APPROVE)
      const next = await say(service, { message: 'Hello', conversationId })
      t.match(next.body, { status: 'completed', text: /Hello/ })
      const { body } = await service.call('GET', `/api/agent/chat/${runId}`)
      const continued = await service.ended(body.continuedBy)
      t.match(continued.body, { status: 'completed', continues: runId })
      t.ok(continued.body.finishedAt <= next.body.finishedAt)
      t.same(await lines(), [`stamp-1 ${runId}:${actions[0]?.toolCallId}`])
      t.match(
        (await messagesOf(service, conversationId)).map(({ role }: { role: string }) => role),
        ['user', 'assistant', 'user', 'assistant'],
      )
    },
  )

  for (const [name, end] of [
    ['a cancel', (runId: string) => service.call('POST', `/api/agent/chat/${runId}/cancel`)],
    [
      'an interrupt',
      (_runId: string, conversationId: string) =>
        say(service, { message: 'Hello', conversationId, ifBusy: 'interrupt' }),
    ],
    ['a retry', (runId: string) => service.call('POST', `/api/agent/chat/${runId}/retry`, { body: {} })],
    ['a deletion', (_runId: string, id: string) => service.call('DELETE', `/api/agent/conversations/${id}`)],
  ] as const)
    t.test(`${name} denies all calls of the turn, also an approved one`, async (t) => {
      const { file, lines } = stampFile(t)
      const { runId, conversationId, actions } = await ask(service, `[[stamp:2]] file ${file}`)
      const [first, second] = actions
      await answer(service, runId, first?.actionId ?? '', APPROVE)
      const ended = await end(runId, conversationId)
      t.ok(ended.status < 300, String(ended.status))
      const late = await answer(service, runId, second?.actionId ?? '', APPROVE)
      t.equal(late.status, name === 'a deletion' ? 404 : 409)
      t.equal(
        (
          await query(
            service,
            `select from turns where continues is not null
        and conversation_id = '${conversationId}'`,
          )
        ).length,
        0,
      )
      t.same(await lines(), [])
      const inbox = await service.call('GET', '/api/agent/actions?status=pending&limit=100')
      t.notOk(inbox.body.data.some((one: { runId: string }) => one.runId === runId))
    })

  t.test('a message that is queued behind the run denies the calls of the run', async (t) => {
    const first = await service.call('POST', '/api/agent/chat', { body: { message: '[[approve]]' } })
    const { conversationId } = first.body
    const second = await service.call('POST', '/api/agent/chat', {
      body: { message: 'Hello', conversationId },
    })
    const run = await service.ended(first.body.runId)
    t.match((await service.ended(second.body.runId)).body, { status: 'completed', text: /Hello/ })
    if (run.body.finishReason === 'action_required') {
      t.equal(run.body.pendingActions, undefined)
      t.same(await statuses(service, first.body.runId), ['denied'])
    }
  })

  t.test('a pending call expires at its time, and counts as denied', async (t) => {
    const { runId, conversationId, actions } = await ask(service, '[[approve]]')
    await query(service, `update actions set expires_at = now() where run_id = '${runId}'`)
    t.equal((await service.call('GET', `/api/agent/chat/${runId}`)).body.pendingActions, undefined)
    const late = await answer(service, runId, actions[0]?.actionId ?? '', APPROVE)
    t.match(late, { status: 409, body: { code: 'action_decided', decision: { status: 'expired' } } })
    await until(async () => (await statuses(service, runId))[0] === 'expired')
    const parts = (await messagesOf(service, conversationId))[1].parts
    t.match(parts.at(-1), { state: 'output-denied', approval: { reason: 'Nobody has answered in time.' } })
    t.equal((await service.call('GET', `/api/agent/chat/${runId}`)).body.continuedBy, undefined)
  })

  t.test('an approved call is executed when the other calls of its turn expire', async (t) => {
    const { file, lines } = stampFile(t)
    const { runId, actions } = await ask(service, `[[stamp:2]] file ${file}`)
    await answer(service, runId, actions[1]?.actionId ?? '', APPROVE)
    await query(
      service,
      `update actions set expires_at = now() where run_id = '${runId}' and status = 'pending'`,
    )
    const continuedBy = await until(
      async () => (await service.call('GET', `/api/agent/chat/${runId}`)).body.continuedBy,
    )
    t.match((await service.ended(continuedBy)).body, { status: 'completed' })
    t.same(await lines(), [`stamp-2 ${runId}:${actions[1]?.toolCallId}`])
  })

  t.test('a fork has no pending calls', async (t) => {
    const { conversationId } = await ask(service, '[[approve-and-ask]]')
    const fork = await service.call('POST', `/api/agent/conversations/${conversationId}/fork`, { body: {} })
    const [, copy] = await messagesOf(service, fork.body.id)
    t.match(copy.parts.slice(1), [{ state: 'output-denied' }, { state: 'output-error' }])
    const next = await say(service, { message: 'Hello', conversationId: fork.body.id })
    t.match(next.body, { status: 'completed', text: /Hello/ })
  })

  t.test('the model reads the denial of a call with its reason', async (t) => {
    const { runId, actions } = await ask(service, '[[approve]]')
    const denied = await answer(service, runId, actions[0]?.actionId ?? '', DENY)
    const run = await service.ended(denied.body.continuedBy)
    t.match(run.body, { status: 'completed', text: /not today/ })
  })
})
