import { randomUUID } from 'node:crypto'
import t from 'tap'
import { query, until } from '../services/rows.ts'
import { startEngine, startService } from '../support/service.ts'
import { APPROVE, answer, ask, stampFile } from './asking.ts'

t.test('actions withstand hostile callers, large steps and cancelled turns', async (t) => {
  const engine = await startEngine(t)
  const service = await startService(t, { engine })
  const poll = async (runId: string) => (await service.call('GET', `/api/agent/chat/${runId}`)).body
  const streamed = (body: object) =>
    service.call('POST', '/api/agent/chat/stream?ui=7', { body: { id: randomUUID(), ...body } })

  t.test('a step with a thousand calls makes no more than sixteen actions', async (t) => {
    const { file, lines } = stampFile(t)
    const { runId, actions } = await ask(service, `[[stamp:1000]] file ${file}`)
    t.equal(actions.length, 16)
    for (const { actionId } of actions) await answer(service, runId, actionId, APPROVE)
    const { continuedBy } = await poll(runId)
    t.match((await service.ended(continuedBy)).body, { status: 'completed' })
    t.equal((await lines()).length, 16)
  })

  t.test(
    'an approved call that a limit cut off has an error as its result, and other calls keep their results',
    async (t) => {
      const { file, lines } = stampFile(t)
      const { runId, conversationId, actions } = await ask(service, `[[stamp:2]] file ${file} hangs`, {
        limits: { maxSeconds: 2 },
      })
      for (const { actionId } of actions) await answer(service, runId, actionId, APPROVE)
      const { continuedBy } = await poll(runId)
      const { body: run } = await service.ended(continuedBy)
      t.equal((await lines()).length, 2)
      t.match(run, {
        status: 'completed',
        finishReason: 'time_limit',
        toolCalls: [
          { result: { error: 'It is not known whether the tool was executed.' } },
          { result: { text: 'stamp-2' } },
        ],
      })
      const stream = await service.call('GET', `/api/agent/chat/${continuedBy}/stream?ui=7`)
      t.match(stream.body, /It is not known whether the tool was executed/)
      t.match(stream.body, /"finish"/)
      const { body } = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
      t.match(body.data[1].parts.slice(1, 3), [{ state: 'output-error' }, { state: 'output-available' }])
    },
  )

  t.test('a cancelled continuation keeps the results of finished calls', async (t) => {
    const { file, lines } = stampFile(t)
    const { runId, actions } = await ask(service, `[[stamp:2]] file ${file} hangs`)
    for (const { actionId } of actions) await answer(service, runId, actionId, APPROVE)
    const { continuedBy } = await poll(runId)
    await until(async () => (await lines()).length === 2)
    await service.call('POST', `/api/agent/chat/${continuedBy}/cancel`)
    t.match((await service.ended(continuedBy)).body, {
      status: 'cancelled',
      toolCalls: [
        { result: { error: 'It is not known whether the tool was executed.' } },
        { result: { text: 'stamp-2' } },
      ],
    })
  })

  t.test('an answer whose id or output the database cannot hold is refused', async (t) => {
    const { runId, conversationId, actions } = await ask(service, '[[ask]]')
    const { actionId = '' } = actions[0] ?? {}
    t.equal((await answer(service, 'run_%00', actionId, { output: 1 })).status, 400)
    t.equal((await answer(service, `run_${'x'.repeat(5000)}`, actionId, { output: 1 })).status, 404)
    const url = `/api/agent/chat/${runId}/actions/${actionId}`
    const deep = `{"output":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
    const headers = { 'content-type': 'application/json' }
    t.equal((await service.call('POST', url, { body: deep, headers })).status, 400)
    t.equal((await answer(service, runId, actionId, { output: { 'a\u0000': 1 } })).status, 400)
    const part = { type: 'tool-choose_option', toolCallId: 'a\u0000b', state: 'output-available', output: 1 }
    const nul = await streamed({ conversationId, messages: [{ id: 'x', role: 'assistant', parts: [part] }] })
    t.ok(nul.status < 500, `${nul.status} ${JSON.stringify(nul.body)}`)
    const odd = await answer(service, runId, actionId, { output: [1e308, null, { a: {} }] })
    t.match((await service.ended(odd.body.continuedBy)).body, { status: 'completed' })
  })

  t.test('a large context and a large result fit into the payload of the continuation', async (t) => {
    const { runId, actions } = await ask(service, '[[ask]]', {
      context: { filler: '€'.repeat(5_000) },
    })
    const answered = await answer(service, runId, actions[0]?.actionId ?? '', {
      output: '€\\"'.repeat(13_000),
    })
    t.equal(answered.status, 200)
    t.match(answered.body.continuedBy, /^run_/)
    t.match((await service.ended(answered.body.continuedBy)).body, { status: 'completed' })
  })

  t.test('a page that repeats the result of its tool while the engine is away gets 503', async (t) => {
    const { runId, conversationId, actions } = await ask(service, '[[ask]]')
    const { messageId } = await poll(runId)
    const body = {
      conversationId,
      messages: [
        {
          id: messageId,
          role: 'assistant',
          parts: [
            {
              type: 'tool-choose_option',
              toolCallId: actions[0]?.toolCallId,
              state: 'output-available',
              input: {},
              output: { choice: 'red' },
            },
          ],
        },
      ],
    }
    const { start } = service.app.engine
    service.app.engine.start = () => Promise.reject(new Error('the engine is away'))
    const first = await streamed(body)
    const second = await streamed(body)
    service.app.engine.start = start
    t.equal(first.status, 503)
    t.equal(second.status, 503, JSON.stringify(second.body))
    await until(async () => (await poll(runId)).continuedBy)
    t.equal((await streamed(body)).status, 200)
  })

  t.test('deleting a conversation deletes the arguments of its actions', async (t) => {
    const { conversationId } = await ask(service, '[[approve-and-ask]]')
    await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
    t.same(await query(service, `select 1 from actions where conversation_id = '${conversationId}'`), [])
  })
})

t.test('the tokens of a continuation count in the budget of its user', async (t) => {
  const service = await startService(t, { environment: { BUDGET_TOKENS_PER_USER_DAY: '1000000' } })
  const used = async () =>
    Number((await query<{ used: string }>(service, `select sum(used) as used from budget_days`))[0]?.used)
  const { runId, actions } = await ask(service, '[[approve]]')
  const before = await used()
  const { body } = await answer(service, runId, actions[0]?.actionId ?? '', APPROVE)
  const { body: run } = await service.ended(body.continuedBy)
  t.ok(run.usage.totalTokens > 0)
  t.equal(await used(), before + run.usage.totalTokens)
})

t.test('a cancel denies a call that was approved while the engine was away', async (t) => {
  const service = await startService(t)
  const { file, lines } = stampFile(t)
  const { runId, conversationId, actions } = await ask(service, `[[stamp]] file ${file}`)
  const { start } = service.app.engine
  service.app.engine.start = () => Promise.reject(new Error('the engine is away'))
  await answer(service, runId, actions[0]?.actionId ?? '', APPROVE)
  await service.call('POST', `/api/agent/chat/${runId}/cancel`)
  service.app.engine.start = start
  const statuses = () =>
    query<{ status: string }>(
      service,
      `select status from actions where conversation_id = '${conversationId}'`,
    )
  await until(async () => (await statuses())[0]?.status === 'denied')
  t.same(await lines(), [])
  t.equal((await service.call('GET', `/api/agent/chat/${runId}`)).body.continuedBy, undefined)
})
