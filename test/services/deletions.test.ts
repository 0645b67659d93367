import t from 'tap'
import { pair, start, turnOfKey } from './instances.ts'
import { query, until } from './rows.ts'

t.test('a conversation that is deleted', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)

  t.test('while its first turn is dispatched leaves the key usable', async (t) => {
    // No sweeper is to find the run before its start is given up.
    for (const { app } of [a, b]) app.stores.sweeps.claim = async () => []
    toEngine.toxics.swallowAnswers = true
    const body = { message: 'What is 3 * 3?', metadata: { a: 'b' } }
    const first = start(a, 'deleted', body)
    await until(async () => (await turnOfKey(b, 'deleted')) !== undefined)
    const turn = await turnOfKey(b, 'deleted')
    const [row] = await query<{ c: string }>(b, `select conversation_id c from runs where id = '${turn?.id}'`)
    t.equal((await b.call('DELETE', `/api/agent/conversations/${row?.c}`)).status, 204)
    t.equal((await first).status, 503)
    await toEngine.mend()
    t.same(await query(b, `select input, metadata from runs where id = '${turn?.id}'`), [
      { input: null, metadata: {} },
    ])
    const again = await start(b, 'deleted', body)
    t.equal(again.status, 202)
    t.match((await b.ended(again.body.runId)).body, {
      status: 'completed',
      text: '3 * 3 = 9.',
      metadata: { a: 'b' },
    })
  })

  t.test('with a turn whose start had no answer leaves the key to that turn', async (t) => {
    toEngine.toxics.swallowAnswers = true
    const body = { message: 'What is 1 + 1?', conversationId }
    t.equal((await start(a, 'unanswered', body)).status, 503)
    await toEngine.mend()
    t.equal((await b.call('DELETE', `/api/agent/conversations/${conversationId}`)).status, 204)
    t.equal((await start(b, 'unanswered', { message: 'What is 2 + 2?' })).status, 422)
    t.equal((await start(b, 'unanswered', body)).status, 404)
  })
})
