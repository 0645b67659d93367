import t from 'tap'
import { startService } from '../support/service.ts'
import { CHAT, ENDLESS, insist, pair, runsOf, start, turnOfKey } from './instances.ts'
import { query, storedTurn, until } from './rows.ts'

const messagesOf = async (service: Awaited<ReturnType<typeof startService>>, conversationId: string) =>
  (await service.call('GET', `/api/agent/conversations/${conversationId}/messages?limit=100`)).body.data.map(
    ({ text }: { text: string }) => text,
  )

t.test('only the start that has created a turn dispatches it until the lease ends', async (t) => {
  const { engine, a, b, toEngine, conversationId } = await pair(t)

  t.test(
    'turns behind a slow turn wait for its run on both instances, and each turn is dispatched once',
    async (t) => {
      const before = engine.stats().runs
      toEngine.toxics.delayMs = 1_500
      const slow = start(a, undefined, { message: 'I am slow.', conversationId })
      await until(async () => (await query(b, `select from turns where state = 'dispatching'`))[0])
      const behind = ['b', 'a'].map((name) =>
        start(name === 'a' ? a : b, undefined, {
          message: `I come from ${name}. What was my last message?`,
          conversationId,
        }),
      )
      const answers = await Promise.all([slow, ...behind])
      await toEngine.mend()
      t.same(
        answers.map(({ status }) => status),
        [202, 202, 202],
      )
      for (const { body } of answers) t.match((await b.ended(body.runId)).body, { status: 'completed' })
      t.equal(engine.stats().runs, before + 3)
      t.match(await messagesOf(b, conversationId), [
        'hi',
        String,
        'I am slow.',
        String,
        /^I come from/,
        /I am slow/,
        /^I come from/,
        /I come from/,
      ])
    },
  )

  t.test(
    'a turn whose instance has died is removed after its lease, and the turns behind it are dispatched',
    async (t) => {
      const dead = storedTurn(1, conversationId)
      t.match(await a.app.stores.turns.start(dead), { outcome: 'created' })
      const next = start(b, undefined, { message: 'behind the dead', conversationId })
      await query(a, `update turns set check_at = now() where id = '${dead.turnId}'`)
      const { status, body } = await next
      t.equal(status, 202)
      t.match((await b.ended(body.runId)).body, { status: 'completed' })
      t.same(await query(a, `select id from turns where id = '${dead.turnId}'`), [])
      t.notOk((await messagesOf(b, conversationId)).includes('left over 1'))
    },
  )

  t.test(
    'a start fails when the turn ahead is dispatched for too long, and leaves no turn behind',
    async (t) => {
      const dead = storedTurn(2, conversationId)
      const { turns } = a.app.stores
      t.match(await turns.start(dead), { outcome: 'created' })
      await query(a, `update turns set check_at = now() + interval '1 minute' where id = '${dead.turnId}'`)
      t.match(await start(b, undefined, { message: 'too early', conversationId }), {
        status: 503,
        body: { code: 'engine_unavailable', retryAfter: Number, detail: /earlier message/ },
      })
      t.notOk((await messagesOf(b, conversationId)).includes('too early'))
      t.ok(await turns.remove(dead.turnId))
    },
  )

  t.test(
    'the retry of a start whose instance has died makes a new turn at the end of the conversation',
    async (t) => {
      const before = engine.stats().runs
      const body = { message: 'What was my last message?', conversationId }
      const held = Promise.withResolvers<never>()
      const { engine: adapter } = a.app
      const send = adapter.start
      adapter.start = () => held.promise
      const dying = start(a, 'dying', body)
      await until(async () => (await turnOfKey(b, 'dying'))?.state === 'dispatching')
      adapter.start = send
      await query(
        b,
        `update turns set check_at = now() - interval '1 second' where idempotency_key = 'dying'`,
      )
      const first = await turnOfKey(b, 'dying')
      const again = await insist(b, 'dying', body)
      t.equal(again.status, 202)
      t.not((await turnOfKey(b, 'dying'))?.id, first?.id)
      t.match((await b.ended(again.body.runId)).body, { status: 'completed' })
      t.equal(engine.stats().runs, before + 1)
      held.reject(new Error('the instance has died'))
      await dying
    },
  )
})

t.test('a turn whose start had no answer of the engine', async (t) => {
  const { engine, a, b, toEngine, conversationId } = await pair(t)
  const lose = async (key: string | undefined, body: object) => {
    toEngine.toxics.swallowAnswers = true
    const answer = await start(a, key, body)
    await toEngine.mend()
    return answer
  }

  t.test(
    'the turn is hidden, and a retry of its key shows it again at its place, with its run',
    async (t) => {
      const before = engine.stats().runs
      const body = { message: 'One. What was my last message?', conversationId }
      t.equal((await lose('one', body)).status, 503)
      t.match(await turnOfKey(b, 'one'), { state: 'abandoned', run_id: null })
      t.same(await messagesOf(b, conversationId), ['hi', await lastOf(b, conversationId)])
      const two = await start(b, 'two', { message: 'Two.', conversationId })
      t.match((await b.ended(two.body.runId)).body, { status: 'completed' })
      const one = await insist(b, 'one', body)
      t.equal(one.status, 202)
      t.equal(one.body.conversationId, conversationId)
      t.match((await b.ended(one.body.runId)).body, { status: 'completed', text: /"hi"/ })
      t.match(await messagesOf(b, conversationId), ['hi', String, /^One/, String, 'Two.', String])
      t.equal(engine.stats().runs, before + 2)
    },
  )

  t.test('the conversation is hidden too when the turn is its first one', async (t) => {
    const conversations = async () => (await b.call('GET', '/api/agent/conversations')).body.data.length
    const before = await conversations()
    t.equal((await lose('new', { message: 'What is 2 + 2?' })).status, 503)
    t.equal(await conversations(), before)
    const [hidden] = await query<{ id: string }>(b, 'select id from conversations where hidden')
    for (const path of ['', '/messages'])
      t.equal((await b.call('GET', `/api/agent/conversations/${hidden?.id}${path}`)).status, 404)
    t.equal((await start(b, undefined, { message: 'x', conversationId: hidden?.id })).status, 404)
    t.equal((await b.call('DELETE', `/api/agent/conversations/${hidden?.id}`)).status, 404)
    const again = await insist(b, 'new', { message: 'What is 2 + 2?' })
    t.equal(again.body.conversationId, hidden?.id)
    t.match((await b.ended(again.body.runId)).body, { status: 'completed', text: '2 + 2 = 4.' })
    t.equal(await conversations(), before + 1)
  })

  t.test(
    'the sweeper gives the turn the run that the engine has when no retry of the key comes',
    async (t) => {
      t.equal((await lose('swept', { message: 'What is 3 + 4?' })).status, 503)
      await query(b, `update turns set check_at = now() where idempotency_key = 'swept'`)
      const turn = await until(async () => {
        const found = await turnOfKey(b, 'swept')
        return found?.state === 'started' && found
      })
      t.match((await b.ended(turn.run_id ?? '')).body, { status: 'completed', text: '3 + 4 = 7.' })
    },
  )

  t.test('the sweeper cancels the run of a turn without a key and removes the turn', async (t) => {
    t.equal((await lose(undefined, { message: ENDLESS, conversationId })).status, 503)
    const [turn] = await query<{ id: string }>(b, `select id from turns where state = 'abandoned'`)
    await query(b, `update turns set check_at = now() where id = '${turn?.id}'`)
    await until(async () => (await query(b, `select from turns where id = '${turn?.id}'`)).length === 0)
    t.same(
      (await runsOf(b, turn?.id ?? '')).map(({ status }) => status),
      ['cancelled'],
    )
  })

  t.test(
    'the turn stays hidden while the engine is away, and the sweeper resolves it when the engine answers',
    async (t) => {
      await b.close()
      t.equal((await lose('away', { message: 'What is 5 + 6?' })).status, 503)
      await toEngine.cut()
      await query(a, `update turns set check_at = now() where idempotency_key = 'away'`)
      await until(
        async () =>
          (await query(a, `select from turns where idempotency_key = 'away' and check_at > now()`))[0],
      )
      t.match(await turnOfKey(a, 'away'), { state: 'abandoned' })
      await toEngine.mend()
      await query(a, `update turns set check_at = now() where idempotency_key = 'away'`)
      await until(async () => (await turnOfKey(a, 'away'))?.state === 'started')
    },
  )
})

t.test('the key of a turn that is interrupted during a slow dispatch still finds its run', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)
  toEngine.toxics.delayMs = 1_500
  const body = { message: 'What is 2 + 2?', conversationId }
  const slow = start(a, 'slow', body)
  await until(async () => (await turnOfKey(b, 'slow'))?.state === 'dispatching')
  const next = await start(b, undefined, { message: 'stop it', conversationId, ifBusy: 'interrupt' })
  t.equal(next.status, 202)
  const { status, body: started } = await slow
  await toEngine.mend()
  t.equal(status, 202)
  t.match((await b.ended(started.runId)).body.status, /cancelled|completed/)
  t.equal((await insist(b, 'slow', body)).body.runId, started.runId)
})

t.test(
  'an instance that was stopped beyond the deadline of a start does not dispatch the turn',
  async (t) => {
    const service = await startService(t)
    const { stores } = service.app
    const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const { start: place } = stores.turns
    // The database answers after the deadline of the start. The sweeper may have removed the turn by then.
    const now = performance.now
    stores.turns.start = async (...turn) => {
      const outcome = await place(...turn)
      performance.now = () => now.call(performance) + 60_000
      return outcome
    }
    const late = await service.call('POST', CHAT, { body: { message: 'late', conversationId: body.id } })
    performance.now = now
    stores.turns.start = place
    t.match(late, { status: 503, body: { code: 'engine_unavailable' } })
    t.equal(service.engine.stats().runs, 0)
    t.same(await query(service, 'select id from turns'), [])
  },
)

const lastOf = async (service: Awaited<ReturnType<typeof startService>>, conversationId: string) =>
  (await messagesOf(service, conversationId)).at(-1)
