import t from 'tap'
import { query, until } from '../services/rows.ts'
import { createDatabase } from '../support/postgres.ts'
import { startEngine, startService } from '../support/service.ts'
import { APPROVE, answer, ask, stampFile } from './asking.ts'

for (const dies of ['before', 'after'])
  t.test(`an approved call is not executed again when the worker dies ${dies} its effect`, async (t) => {
    const service = await startService(t)
    const { file, lines } = stampFile(t)
    const { runId, conversationId, actions } = await ask(service, `[[stamp:2]] file ${file} dies ${dies}`)
    const [first, second] = actions
    await answer(service, runId, second?.actionId ?? '', { decision: 'deny' })
    const answered = await answer(service, runId, first?.actionId ?? '', APPROVE)
    const run = await service.ended(answered.body.continuedBy)
    t.match(run.body, { status: 'failed', continues: runId })
    t.match(run.body.toolCalls?.[0], { result: { error: 'It is not known whether the tool was executed.' } })
    const key = `stamp-1 ${runId}:${first?.toolCallId}`
    t.same(await lines(), dies === 'before' ? [] : [key])
    const again = await answer(service, runId, first?.actionId ?? '', APPROVE)
    t.match(again, { status: 200, body: { continuedBy: answered.body.continuedBy } })
    const messages = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.match(messages.body.data[1], {
      status: 'failed',
      parts: [
        { type: 'step-start' },
        { state: 'output-error', errorText: 'It is not known whether the tool was executed.' },
        { state: 'output-denied' },
      ],
    })
    const next = await service.call('POST', '/api/agent/chat/sync', {
      body: { message: 'Hello', conversationId },
    })
    t.match(next.body, { status: 'completed', text: /Hello/ })
    t.same(await lines(), dies === 'before' ? [] : [key])
  })

t.test('an answer counts after the service and the engine were replaced', async (t) => {
  const databaseUrl = await createDatabase(t as never)
  const { file, lines } = stampFile(t)
  const old = await startEngine(t)
  const before = await startService(t, { engine: old, databaseUrl })
  const { runId, conversationId, actions } = await ask(before, `[[stamp:2]] file ${file}`, {
    context: { colour: 'red' },
  })
  await answer(before, runId, actions[0]?.actionId ?? '', APPROVE)
  await before.close()
  await old.stop()

  const service = await startService(t, { databaseUrl })
  t.equal((await service.call('GET', `/api/agent/chat/${runId}`)).body.pendingActions.length, 1)
  const answered = await answer(service, runId, actions[1]?.actionId ?? '', APPROVE)
  const run = await service.ended(answered.body.continuedBy)
  t.match(run.body, { status: 'completed', finishReason: 'stop', continues: runId })
  t.same(
    await lines(),
    actions.map(({ toolCallId }, n) => `stamp-${n + 1} ${runId}:${toolCallId}`),
  )
  const [turn] = await query<{ asked: object }>(
    service,
    `select input->'asked' as asked from turns where conversation_id = '${conversationId}' and continues is not null`,
  )
  t.match(turn?.asked, { context: { colour: 'red' }, caller: { userId: 'alice' } })
})

t.test(
  'an answer counts while the engine is away, and the turn goes on when the engine is back',
  async (t) => {
    const service = await startService(t)
    const { file, lines } = stampFile(t)
    const { runId, actions } = await ask(service, `[[stamp]] file ${file}`)
    const { start } = service.app.engine
    service.app.engine.start = () => Promise.reject(new Error('the engine is away'))
    const answered = await answer(service, runId, actions[0]?.actionId ?? '', APPROVE)
    t.match(answered, { status: 200, body: { status: 'approved', pending: 0, continuedBy: undefined } })
    service.app.engine.start = start
    const continuedBy = await until(
      async () => (await service.call('GET', `/api/agent/chat/${runId}`)).body.continuedBy,
    )
    t.match((await service.ended(continuedBy)).body, { status: 'completed' })
    t.equal((await lines()).length, 1)
  },
)
