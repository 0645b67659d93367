import t from 'tap'
import { openStream, ready } from '../streams/sse.ts'
import { startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'
const STORY = 'Tell me a story of 400 sentences'

t.test('limits of a turn', async (t) => {
  const service = await startService(t)
  await ready(service)
  const start = (body: object, headers: Record<string, string> = {}) =>
    service.call('POST', CHAT, { body: { message: 'Hello', ...body }, headers })
  const sync = async (body: object) => (await service.call('POST', `${CHAT}/sync`, { body })).body

  t.test('what is no limit is refused with its path', async (t) => {
    for (const [limits, ...paths] of [
      [{ maxSteps: 0, maxOutputTokens: 1.5 }, '/limits/maxOutputTokens', '/limits/maxSteps'],
      [{ maxSeconds: '5' }, '/limits/maxSeconds'],
      [{ maxTokens: 5 }, '/limits/maxTokens'],
      [7, '/limits'],
    ] as [unknown, ...string[]][]) {
      const { status, body } = await start({ limits })
      t.equal(status, 400)
      t.same(body.errors.map(({ path }: { path: string }) => path).sort(), paths)
      const message = { role: 'user', parts: [{ type: 'text', text: 'Hello' }] }
      const stream = await service.call('POST', `${CHAT}/stream`, { body: { messages: [message], limits } })
      t.equal(stream.status, 400, 'also in a stream')
    }
    t.equal((await start({ limits: { maxSteps: null } })).status, 202, 'null counts as left out')
    t.equal((await start({ limits: null })).status, 202)
  })

  for (const { message, limits, finishReason } of [
    { message: '[[loop]]', limits: { maxSteps: 2 }, finishReason: 'step_limit' },
    { message: STORY, limits: { maxTotalTokens: 300 }, finishReason: 'token_limit' },
    { message: STORY, limits: { maxSeconds: 1 }, finishReason: 'time_limit' },
  ]) {
    t.test(
      `a turn that meets ${JSON.stringify(limits)} says so everywhere, and keeps its text`,
      async (t) => {
        const run = await sync({ message, limits })
        t.match(run, {
          status: 'completed',
          finishReason,
          text: /\w/,
          history: { sent: 0, summarized: 0, dropped: 0 },
        })
        t.same((await service.call('GET', `${CHAT}/${run.runId}`)).body, run)
        const list = await service.call('GET', `${CHAT}?runId=${run.runId}`)
        t.match(list.body.data[0], { finishReason, history: run.history, usage: run.usage })
        const thread = await service.call('GET', `/api/agent/conversations/${run.conversationId}/messages`)
        t.match(thread.body.data[1], { status: 'complete', finishReason, text: run.text })
      },
    )
  }

  t.test('a stream ends with the limit, and with the text of the poll', async (t) => {
    const body = {
      messages: [{ role: 'user', parts: [{ type: 'text', text: STORY }] }],
      limits: { maxTotalTokens: 300 },
    }
    const stream = await openStream(service, `${CHAT}/stream`, { body })
    const finish = (await stream.until(({ chunk }) => chunk?.type === 'finish')).chunk
    t.match(finish.messageMetadata, { finishReason: 'token_limit', history: { sent: 0 } })
    const run = (await service.ended(String(stream.headers.get('x-run-id')))).body
    const said = stream.events.map(({ chunk }) => (chunk?.type === 'text-delta' ? chunk.delta : '')).join('')
    t.equal(run.text, said)
    t.same(run.history, finish.messageMetadata.history)
  })

  t.test('a cancelled run says what its prompt had', async (t) => {
    const first = await sync({ message: 'Hello' })
    const { body } = await start({ message: STORY, conversationId: first.conversationId })
    const stream = await openStream(service, `${CHAT}/${body.runId}/stream`)
    await stream.until(({ chunk }) => chunk?.type === 'text-delta')
    const run = (await service.call('POST', `${CHAT}/${body.runId}/cancel`)).body
    t.match(run, { status: 'cancelled', history: { sent: 2, summarized: 0, dropped: 0 } })
  })

  t.test('limits are part of what an Idempotency-Key stands for', async (t) => {
    const headers = { 'idempotency-key': 'limits' }
    const first = await start({ limits: { maxSteps: 2, maxSeconds: 60 } }, headers)
    const again = await start({ limits: { maxSeconds: 60, maxSteps: 2 } }, headers)
    t.equal(again.headers.get('idempotency-replayed'), 'true')
    t.equal(again.body.runId, first.body.runId)
    t.equal((await start({ limits: { maxSteps: 3, maxSeconds: 60 } }, headers)).status, 422)
    t.equal((await start({}, headers)).status, 422)
    t.equal((await start({ context: { limits: { maxSteps: 2, maxSeconds: 60 } } }, headers)).status, 422)
  })
})

t.test('the limit of time lies below the maximal duration of runs', async (t) => {
  const service = await startService(t, { environment: { RUN_MAX_DURATION_SECONDS: '20' } })
  const sent: { limits?: object }[] = []
  t.intercept(service.app.engine, 'start', {
    value: async (turn: { limits?: object }) => {
      sent.push(turn)
      return `run_${sent.length}`
    },
  })
  for (const maxSeconds of [10, 1000])
    await service.call('POST', CHAT, { body: { message: 'Hello', limits: { maxSeconds, maxSteps: 2 } } })
  t.match(sent, [{ limits: { maxSeconds: 10, maxSteps: 2 } }, { limits: { maxSeconds: 15, maxSteps: 2 } }])
  t.match(sent, [{ version: 1 }, { version: 1 }], 'a worker of the version before takes such a turn')
})
