import t from 'tap'
import { startService } from '../support/service.ts'
import { CHAT, ENDLESS, insist, pair, runsOf, start, turnOfKey } from './instances.ts'
import { query, storedTurn, until } from './rows.ts'

t.test('a retry while the sweeper gives the first run up', async (t) => {
  const { a, b, toEngine } = await pair(t)
  toEngine.toxics.swallowAnswers = true
  const keys = ['stopped', 'cancelled late', 'ended'] as const
  const messages = { stopped: ENDLESS, 'cancelled late': ENDLESS, ended: 'What is 1 + 1?' }
  const told = await Promise.all(keys.map((key) => start(a, key, { message: messages[key] })))
  t.same(
    told.map(({ status }) => status),
    [503, 503, 503],
  )
  await toEngine.mend()
  /** The first half of what the sweeper does; then its process dies. */
  async function giveUp(key: string) {
    const turn = await turnOfKey(b, key)
    const [first] = await runsOf(b, turn?.id ?? '')
    t.ok(await b.app.stores.sweeps.giveUp(turn?.id ?? '', [first?.runId ?? '']))
    return { turnId: turn?.id ?? '', first: first?.runId ?? '' }
  }

  t.test('stops that run before it sends another', async (t) => {
    const { turnId, first } = await giveUp('stopped')
    const again = await insist(b, 'stopped', { message: ENDLESS })
    t.equal(again.status, 202)
    t.not(again.body.runId, first)
    const live = (await runsOf(b, turnId)).filter(({ status }) => status !== 'cancelled')
    t.same(
      live.map(({ runId }) => runId),
      [again.body.runId],
    )
  })

  t.test('is not ended by the end of that run', async (t) => {
    const { turnId, first } = await giveUp('cancelled late')
    toEngine.toxics.delayMs = 400
    const retry = start(a, 'cancelled late', { message: ENDLESS })
    await until(async () => (await turnOfKey(b, 'cancelled late'))?.status === 'dispatching')
    await b.app.engine.cancel(first)
    await b.app.services.settle(turnId, first)
    await a.app.services.settle(turnId, first)
    const again = await retry
    await toEngine.mend()
    t.equal(again.status, 202)
    t.not(again.body.runId, first)
    t.match((await b.call('GET', `${CHAT}/${again.body.runId}`)).body, { status: /queued|running/ })
  })

  t.test('gets that run when it had ended by itself', async (t) => {
    const { first } = await giveUp('ended')
    await until(async () => (await b.app.engine.get(first))?.status === 'completed')
    const again = await insist(b, 'ended', { message: messages.ended })
    t.equal(again.body.runId, first)
    t.match((await b.ended(first)).body, { status: 'completed', text: '1 + 1 = 2.' })
  })
})

t.test('a slow dispatch', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)

  t.test('that is interrupted leaves its key usable', async (t) => {
    toEngine.toxics.delayMs = 1_500
    const body = { message: 'What is 2 + 2?', conversationId }
    const slow = start(a, 'slow', body)
    await until(async () => (await turnOfKey(b, 'slow'))?.status === 'dispatching')
    const next = await start(b, undefined, { message: 'stop it', conversationId, ifBusy: 'interrupt' })
    t.equal(next.status, 202)
    await slow
    await toEngine.mend()
    const again = await insist(b, 'slow', body)
    t.equal(again.status, 202)
    t.match((await b.ended(again.body.runId)).body, { status: 'completed', text: '2 + 2 = 4.' })
  })

  t.test('is told of the run that the turn behind it has made of it', async (t) => {
    await toEngine.cut()
    const message = 'I was nearly refused.'
    const slow = start(a, undefined, { message, conversationId })
    await until(
      async () => (await query(b, `select from runs where status = 'dispatching' and run_id is null`))[0],
    )
    const next = await start(b, undefined, { message: 'What was my last message?', conversationId })
    t.match((await b.ended(next.body.runId)).body, { text: /I was nearly refused/ })
    const first = await slow
    t.equal(first.status, 202)
    t.match((await b.ended(first.body.runId)).body, { status: 'completed' })
    await toEngine.mend()
  })
})

t.test('a turn that is taken back and revived behind another one is not waited for by that', async (t) => {
  const { a, b, conversationId } = await pair(t)
  const first = storedTurn(1, conversationId, 'revived')
  await a.app.stores.turns.start(first)
  const { turns } = b.app.stores
  const { pending } = turns
  const asked = Promise.withResolvers<void>()
  const revived = Promise.withResolvers<void>()
  turns.pending = async (turnIds) => {
    asked.resolve()
    await revived.promise
    return pending(turnIds)
  }
  const second = start(b, undefined, { message: 'What is 3 + 3?', conversationId })
  await asked.promise
  await a.app.stores.turns.withdraw(first.turnId, 'abandoned')
  t.match(await a.app.stores.turns.start(first), { outcome: 'created', revived: true })
  turns.pending = pending
  revived.resolve()
  const { body } = await second
  t.match((await b.app.engine.get(body.runId))?.payload, { ahead: [] })
  t.match((await b.ended(body.runId)).body, { status: 'completed', text: '3 + 3 = 6.' })
})

t.test(
  'a turn that is revived behind others while one of them looks for its run is not sent by that',
  async (t) => {
    const { a, b, conversationId } = await pair(t)
    const first = storedTurn(1, conversationId, 'looked for')
    await a.app.stores.turns.start(first)
    const { engine } = b.app
    const { list } = engine
    engine.list = async function* (...filter) {
      engine.list = list
      await a.app.stores.turns.withdraw(first.turnId, 'abandoned')
      t.match(await a.app.stores.turns.start(first), { outcome: 'created', revived: true })
      yield* list(...filter)
    }
    const { body } = await start(b, undefined, { message: 'What is 4 + 3?', conversationId })
    t.match((await b.app.engine.get(body.runId))?.payload, { ahead: [] })
    // As if whoever has revived it had died.
    await query(b, `update runs set check_at = now() where id = '${first.turnId}'`)
    await until(async () => (await turnOfKey(b, 'looked for'))?.status === 'completed')
    const { body: messages } = await b.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    const texts = messages.data.map(({ text }: { text: string }) => text)
    t.match(texts, ['hi', String, 'What is 4 + 3?', String, 'left over 1', String])
  },
)

t.test('a turn that is revived while the one behind it sends it keeps its place', async (t) => {
  const { a, b, conversationId } = await pair(t)
  const first = storedTurn(1, conversationId, 'overtaken')
  await a.app.stores.turns.start(first)
  const { engine } = b.app
  const send = engine.start
  engine.start = async (...turn) => {
    engine.start = send
    await a.app.stores.turns.withdraw(first.turnId, 'abandoned')
    t.match(await a.app.stores.turns.start(first), { outcome: 'created', revived: true })
    return engine.start(...turn)
  }
  const { body } = await start(b, undefined, { message: 'What was my last message?', conversationId })
  t.match((await b.ended(body.runId)).body, { text: /left over 1/ })
  const { body: messages } = await b.call('GET', `/api/agent/conversations/${conversationId}/messages`)
  const texts = messages.data.map(({ text }: { text: string }) => text)
  t.match(texts, ['hi', String, 'left over 1', String, 'What was my last message?', String])
})

t.test('two misses of a run that the engine knew in between do not make it lost', async (t) => {
  const service = await startService(t)
  const { body } = await start(service, undefined, { message: ENDLESS })
  const [turn] = await query<{ id: string }>(service, `select id from runs where run_id = '${body.runId}'`)
  /** Lets the sweeper look at the run under this id, the last miss being a minute old if there was one. */
  async function look(runId: string, missed: boolean) {
    await query(
      service,
      `update runs set run_id = '${runId}', check_at = now(), missed_at = missed_at - interval '61 seconds'
       where id = '${turn?.id}'`,
    )
    await until(
      async () =>
        (
          await query(
            service,
            `select from runs where check_at > now() and (missed_at is not null) = ${missed}`,
          )
        )[0],
    )
  }
  await look('run_unknown', true)
  await look(body.runId, false)
  await look('run_unknown', true)
  await look(body.runId, false)
  t.match((await service.call('GET', `${CHAT}/${body.runId}`)).body, { status: 'running' })
})

t.test('a turn that is revived after others have been accepted', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)
  const texts = async () =>
    (await b.call('GET', `/api/agent/conversations/${conversationId}/messages?limit=100`)).body.data.map(
      ({ text }: { text: string }) => text,
    )
  const question = 'What was my last message?'

  t.test('goes back to its place when its run has begun', async (t) => {
    toEngine.toxics.swallowAnswers = true
    t.equal((await start(a, 'first', { message: `One. ${question}`, conversationId })).status, 503)
    await toEngine.mend()
    const second = await start(b, 'second', { message: 'Two.', conversationId })
    await b.ended(second.body.runId)
    const first = await insist(b, 'first', { message: `One. ${question}`, conversationId })
    t.match((await b.ended(first.body.runId)).body, { text: /"hi"/ })
    t.match((await texts()).slice(2), [/^One/, String, /^Two/, String])
  })

  t.test('also when the end of its run is seen before', async (t) => {
    toEngine.toxics.swallowAnswers = true
    t.equal((await start(a, 'ended first', { message: `Five. ${question}`, conversationId })).status, 503)
    await toEngine.mend()
    const next = await start(b, undefined, { message: 'Six.', conversationId })
    await b.ended(next.body.runId)
    const { turns } = b.app.stores
    const { moveBack } = turns
    turns.moveBack = async (turnId, position, runId) => {
      await b.app.services.settle(turnId, runId)
      await moveBack(turnId, position, runId)
    }
    await insist(b, 'ended first', { message: `Five. ${question}`, conversationId })
    turns.moveBack = moveBack
    t.match((await texts()).slice(-4), [/^Five/, String, /^Six/, String])
  })

  t.test('has a new run when that has not begun: one that knows the others', async (t) => {
    const { body: long } = await start(b, undefined, { message: ENDLESS, conversationId })
    toEngine.toxics.swallowAnswers = true
    t.equal((await start(a, 'late', { message: `Four. ${question}`, conversationId })).status, 503)
    await toEngine.mend()
    const before = await turnOfKey(b, 'late')
    const three = await start(b, undefined, { message: 'Three.', conversationId })
    const late = await insist(b, 'late', { message: `Four. ${question}`, conversationId })
    await b.call('POST', `${CHAT}/${long.runId}/cancel`)
    t.match((await b.ended(three.body.runId)).body, { status: 'completed' })
    t.match((await b.ended(late.body.runId)).body, { status: 'completed', text: /"Three\."/ })
    t.match((await texts()).slice(-4), [/^Three/, String, /^Four/, String])
    const runs = await runsOf(b, before?.id ?? '')
    t.same(runs.map(({ status }) => status).sort(), ['cancelled', 'completed'])
  })
})
