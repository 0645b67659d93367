import t from 'tap'
import type { Answer, Service } from '../support/service.ts'
import { CHAT, insist, pair, runsOf, start, turnOfKey } from './instances.ts'
import { query, until } from './rows.ts'

const threadOf = async (service: Service, conversationId: string): Promise<string[]> =>
  (await service.call('GET', `/api/agent/conversations/${conversationId}/messages?limit=100`)).body.data.map(
    ({ text }: { text: string }) => text,
  )

t.test('a retry whose start fails', async (t) => {
  const { engine, a, b, toEngine } = await pair(t)
  const answered = async (message: string) => {
    const { body } = await start(b, undefined, { message })
    return (await b.ended(body.runId)).body as { runId: string; conversationId: string }
  }
  const retry = (service: Service, runId: string, key?: string): Promise<Answer> =>
    service.call('POST', `${CHAT}/${runId}/retry`, {
      headers: key === undefined ? {} : { 'idempotency-key': key },
    })
  const lose = async (runId: string, key?: string) => {
    toEngine.toxics.swallowAnswers = true
    const answer = await retry(a, runId, key)
    await toEngine.mend()
    return answer
  }
  const noneOpen = () =>
    until(async () => (await query(b, `select from turns where state <> 'started'`)).length === 0)
  /** Makes the turns without a run due for the sweeper. */
  const resolved = async () => {
    await query(b, `update turns set check_at = now() where state <> 'started'`)
    await noneOpen()
  }

  t.test('the old answer stays when the engine is away', async (t) => {
    const { runId, conversationId } = await answered('What is 1 + 1?')
    await toEngine.cut()
    t.match(await retry(a, runId), { status: 503, body: { code: 'engine_unavailable' } })
    await toEngine.mend()
    t.same(await threadOf(b, conversationId), ['What is 1 + 1?', '1 + 1 = 2.'])
    t.notOk('supersededBy' in (await b.call('GET', `${CHAT}/${runId}`)).body)
    const again = await retry(b, runId)
    t.equal(again.status, 202, 'the caller can retry again')
    await b.ended(again.body.runId)
  })

  t.test(
    'the old answer stays when the engine did not answer, and the run of the retry is cancelled',
    async (t) => {
      const { runId, conversationId } = await answered('What is 2 + 2?')
      t.equal((await lose(runId)).status, 503)
      t.same(await threadOf(b, conversationId), ['What is 2 + 2?', '2 + 2 = 4.'])
      const [turn] = await query<{ id: string }>(b, `select id from turns where state = 'abandoned'`)
      await resolved()
      t.same(await threadOf(b, conversationId), ['What is 2 + 2?', '2 + 2 = 4.'])
      for (const run of await runsOf(b, turn?.id ?? '')) t.match(run.status, /cancelled|completed/)
    },
  )

  t.test('the retry goes on with its run when the caller sends its key again', async (t) => {
    const before = engine.stats().runs
    const { runId, conversationId } = await answered('What is 3 + 3?')
    t.equal((await lose(runId, 'three')).status, 503)
    t.match(await turnOfKey(b, 'three'), { state: 'abandoned' })
    t.same(await threadOf(b, conversationId), ['What is 3 + 3?', '3 + 3 = 6.'])
    let again = await retry(b, runId, 'three')
    while (again.body.retryable) again = await retry(b, runId, 'three')
    t.equal(again.status, 202)
    t.match((await b.ended(again.body.runId)).body, { status: 'completed', retryOf: runId })
    t.match((await b.call('GET', `${CHAT}/${runId}`)).body, { supersededBy: again.body.runId })
    t.same(await threadOf(b, conversationId), ['What is 3 + 3?', '3 + 3 = 6.'])
    t.equal(engine.stats().runs, before + 2, 'the engine has one run for the start and one for the retry')
  })

  t.test('a retry whose run is found late does not replace another retry', async (t) => {
    const { runId, conversationId } = await answered('What is 4 + 4?')
    t.equal((await lose(runId, 'four')).status, 503)
    const other = await retry(b, runId)
    await b.ended(other.body.runId)
    const next = await start(b, undefined, { message: 'What is 5 + 5?', conversationId })
    await b.ended(next.body.runId)
    await resolved()
    const late = await turnOfKey(b, 'four')
    t.match(late, { state: 'started' }, 'the sweeper has found the run of the retry')
    await b.ended(late?.run_id ?? '')
    const thread = (await b.call('GET', `/api/agent/conversations/${conversationId}/messages`)).body.data
    t.same(
      thread.map(({ runId }: { runId: string }) => runId),
      [other.body.runId, other.body.runId, next.body.runId, next.body.runId],
    )
    t.equal((await retry(b, runId, 'four')).body.runId, late?.run_id, 'the key still finds this run')
  })

  t.test('the old answer is restored when the instance of the retry dies', async (t) => {
    const { runId, conversationId } = await answered('What is 6 + 6?')
    const held = Promise.withResolvers<never>()
    const { engine: adapter } = a.app
    const send = adapter.start
    adapter.start = () => held.promise
    const dying = retry(a, runId)
    await until(async () => (await query(b, `select from turns where state = 'dispatching'`))[0])
    adapter.start = send
    t.same(await threadOf(b, conversationId), ['What is 6 + 6?'], 'the retry has superseded the old answer')
    t.match(await retry(b, runId), { status: 409, body: { code: 'turn_not_last', supersededBy: null } })
    await resolved()
    t.same(await threadOf(b, conversationId), ['What is 6 + 6?', '6 + 6 = 12.'])
    held.reject(new Error('the instance has died'))
    await dying
    t.equal((await retry(b, runId)).status, 202)
  })
})

t.test('an edit whose start fails', async (t) => {
  const { a, b, toEngine } = await pair(t)
  const first = await start(b, undefined, { message: 'What is 1 + 1?' })
  const { conversationId } = first.body
  await b.ended(first.body.runId)
  const second = await insist(b, 'second', { message: 'What is 2 + 2?', conversationId })
  await b.ended(second.body.runId)
  const path = `/api/agent/conversations/${conversationId}/messages`
  const before = (await b.call('GET', path)).body.data
  const edit = (service: Service) =>
    service.call('POST', `${CHAT}/stream`, {
      body: {
        conversationId,
        messageId: before[0].id,
        messages: [{ id: before[0].id, role: 'user', parts: [{ type: 'text', text: 'What is 3 + 3?' }] }],
      },
    })

  t.test('the thread is unchanged', async (t) => {
    await toEngine.cut()
    t.equal((await edit(a)).status, 503)
    await toEngine.mend()
    t.same((await b.call('GET', path)).body.data, before)
    toEngine.toxics.swallowAnswers = true
    t.equal((await edit(a)).status, 503)
    await toEngine.mend()
    t.same((await b.call('GET', path)).body.data, before)
    await query(b, `update turns set check_at = now() where state <> 'started'`)
    await until(async () => (await query(b, `select from turns where state <> 'started'`)).length === 0)
    t.same((await b.call('GET', path)).body.data, before)
    t.equal((await edit(b)).status, 200)
    t.same(await threadOf(b, conversationId), ['What is 3 + 3?', '3 + 3 = 6.'])
    t.match((await b.call('GET', `${CHAT}/${first.body.runId}`)).body, { supersededBy: /^run_/ })
    t.notOk('retryOf' in (await b.call('GET', `${CHAT}?conversationId=${conversationId}`)).body.data[0])
  })
})
