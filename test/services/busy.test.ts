import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createDatabase } from '../support/postgres.ts'
import { type Answer, type Service, startEngine, startService } from '../support/service.ts'
import { query, storedTurn, until } from './rows.ts'

const START = '/api/agent/chat'

const send = (service: Service, message: string, more: object = {}): Promise<Answer> =>
  service.call('POST', START, { body: { message, ...more } })

/** Repeats a start with one key while the answer is retryable, because a start may run out of time on a busy machine. */
async function insist(service: Service, message: string, more: object): Promise<Answer> {
  const headers = { 'idempotency-key': randomUUID() }
  for (;;) {
    const answer = await service.call('POST', START, { body: { message, ...more }, headers })
    if (answer.status === 202) return answer
    await sleep(200)
  }
}

const messagesOf = async ({ call }: Service, conversationId: string) =>
  (await call('GET', `/api/agent/conversations/${conversationId}/messages?limit=100`)).body.data as Array<{
    role: string
    text: string
    status: string
    runId: string
  }>

/** Starts a run that goes on until it is cancelled, and waits until the run has written some words. */
async function startLong(service: Service, conversationId?: string): Promise<Answer['body']> {
  const { body } = await send(service, '[[stall-after:5]] Tell a story.', {
    ...(conversationId === undefined ? {} : { conversationId }),
  })
  for (;;) {
    const poll = await service.call('GET', `${START}/${body.runId}?wait=5`)
    if (poll.body.status === 'running') break
  }
  let said = ''
  for await (const { chunk } of service.app.engine.chunks(body.runId, new AbortController().signal)) {
    if (chunk.type === 'text-delta') said += chunk.delta
    if (said.trim().split(' ').length >= 5) break
  }
  return body
}

t.test('a busy conversation', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const service = await startService(t, { engine, databaseUrl })
  const other = await startService(t, { engine, databaseUrl })

  t.test(
    'a conversation answers ten parallel messages in order, and each answer knows the message before',
    async (t) => {
      const { body: conversation } = await service.call('POST', '/api/agent/conversations', { body: {} })
      const conversationId = conversation.id
      const asked = Array.from({ length: 10 }, (_, n) => `message number ${n}. What was my last message?`)
      const answers = await Promise.all(
        asked.map((message, n) => insist(n % 2 ? service : other, message, { conversationId })),
      )
      for (const { body } of answers) t.match((await service.ended(body.runId)).body, { status: 'completed' })
      const messages = await messagesOf(service, conversationId)
      t.same(
        messages.map(({ role }) => role),
        asked.flatMap(() => ['user', 'assistant']),
      )
      const stored = messages.filter(({ role }) => role === 'user').map(({ text }) => text)
      t.same([...stored].sort(), asked, 'every message is stored once')
      const recalled = messages.filter(({ role }) => role === 'assistant').map(({ text }) => text)
      t.match(recalled[0], /You have not said anything/)
      for (let n = 1; n < 10; n++) t.match(recalled[n], new RegExp(stored[n - 1]?.slice(0, 16) ?? '!'))
    },
  )

  t.test('a conversation accepts ten unfinished runs and refuses the eleventh', async (t) => {
    const first = await startLong(service)
    const { conversationId } = first
    for (let n = 2; n <= 10; n++) t.equal((await insist(service, `${n}`, { conversationId })).status, 202)
    t.match(await send(other, 'one too many', { conversationId }), {
      status: 409,
      body: { code: 'conversation_queue_full', retryable: true, retryAfter: 1, activeRunId: first.runId },
    })
    await service.call('POST', `${START}/${first.runId}/cancel`)
    t.match(await send(other, 'there is room again', { conversationId }), { status: 202 })
  })

  t.test(
    'a prompt has the messages in order although the end of an earlier run is stored after that of a later run',
    async (t) => {
      const first = (await send(service, 'first')).body
      const { conversationId } = first
      await service.ended(first.runId)
      const second = (await send(service, 'second', { conversationId })).body
      await service.ended(second.runId)
      await query(
        service,
        `update runs set status = 'running', finished_at = null, check_at = now() + interval '1 minute'
       where run_id = '${first.runId}'`,
      )
      const third = (await send(service, 'What was my last message?', { conversationId })).body
      t.match((await service.ended(third.runId)).body, { text: /"second"/ })
    },
  )

  t.test(
    'a poll of a queued run names the runs ahead, and a conversation names its oldest unfinished run',
    async (t) => {
      const first = await startLong(service)
      const { conversationId } = first
      const second = (await send(other, 'second', { conversationId })).body
      const third = (await send(service, 'third', { conversationId })).body
      t.match((await service.call('GET', `${START}/${third.runId}`)).body, {
        status: 'queued',
        queue: { position: 2, ahead: [first.runId, second.runId] },
      })
      t.match((await service.call('GET', `/api/agent/conversations/${conversationId}`)).body, {
        activeRunId: first.runId,
      })

      t.test('a start with ifBusy reject is refused while the conversation is busy', async (t) => {
        const refused = await send(service, 'now or never', { conversationId, ifBusy: 'reject' })
        t.match(refused, { status: 409, body: { code: 'conversation_busy', retryAfter: 1 } })
        t.equal(refused.body.activeRunId, first.runId)
        t.equal(refused.headers.get('retry-after'), '1')
      })

      t.test(
        'a start with ifBusy interrupt cancels all runs ahead, which keep their partial answers',
        async (t) => {
          const startedAt = performance.now()
          const next = await send(other, 'What was my last message?', { conversationId, ifBusy: 'interrupt' })
          t.equal(next.status, 202)
          t.comment(`interrupted in ${Math.round(performance.now() - startedAt)} ms`)
          for (const { runId } of [first, second, third])
            t.match((await service.call('GET', `${START}/${runId}`)).body, { status: 'cancelled' })
          const answer = (await service.ended(next.body.runId)).body
          t.match(answer, { status: 'completed', text: /third/ })
          const messages = await messagesOf(service, conversationId)
          t.same(
            messages.map(({ role, status, runId }) => [role, status, runId]),
            [
              ['user', 'complete', first.runId],
              ['assistant', 'cancelled', first.runId],
              ['user', 'complete', second.runId],
              ['user', 'complete', third.runId],
              ['user', 'complete', next.body.runId],
              ['assistant', 'complete', next.body.runId],
            ],
          )
          t.ok((messages[1]?.text.split(' ').length ?? 0) >= 4, 'the partial answer is kept')
          t.match(await send(service, 'reject works when idle', { conversationId, ifBusy: 'reject' }), {
            status: 202,
          })
        },
      )
    },
  )
})

t.test(
  'the sweeper removes turns whose instance died before the dispatch, with and without a key',
  async (t) => {
    const service = await startService(t)
    const { body: conversation } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const conversationId = conversation.id
    for (const key of [null, 'key'])
      t.match(await service.app.stores.turns.start(storedTurn(key === null ? 4 : 5, conversationId, key)), {
        outcome: 'created',
      })
    await query(service, `update turns set check_at = now() where state = 'dispatching'`)
    await until(
      async () => (await query(service, `select from turns where state = 'dispatching'`)).length === 0,
    )
    t.same(await messagesOf(service, conversationId), [])
    t.equal(service.engine.stats().runs, 0)
  },
)
