import t from 'tap'
import { CHAT, ENDLESS, pair, runsOf, start, turnOfKey } from './instances.ts'
import { query, storedTurn, until } from './rows.ts'

const FAILING = '[[fail]]'

t.test('a turn whose run was given up and whose next dispatcher died', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)
  toEngine.toxics.swallowAnswers = true
  t.equal((await start(a, 'given up', { message: ENDLESS, conversationId })).status, 503)
  await toEngine.mend()
  const turnId = (await turnOfKey(b, 'given up'))?.id ?? ''
  const [first] = await runsOf(b, turnId)
  t.ok(await b.app.stores.sweeps.giveUp(turnId, [first?.runId ?? '']))
  await b.app.engine.cancel(first?.runId ?? '')
  const [{ hash } = { hash: '' }] = await query<{ hash: string }>(
    b,
    `select request_hash as hash from runs where id = '${turnId}'`,
  )
  t.match(
    await b.app.stores.turns.start({ ...storedTurn(1, conversationId, 'given up'), requestHash: hash }),
    { outcome: 'created', revived: true },
  )
  const next = await start(b, undefined, { message: 'hello', conversationId, ifBusy: 'interrupt' })
  t.equal(next.status, 202, 'does not stand in the way of an interrupt')
  t.match((await b.ended(next.body.runId)).body, { status: 'completed' })
  t.match(await turnOfKey(b, 'given up'), { status: 'abandoned', run_id: null })
})

t.test('a turn whose dispatcher died and that the engine does not take', async (t) => {
  const { a, conversationId } = await pair(t)
  const turn = storedTurn(1, conversationId)
  const parts = [{ type: 'text' as const, text: 'x'.repeat(130_000) }]
  t.match(await a.app.stores.turns.start({ ...turn, message: { ...turn.message, parts } }), {
    outcome: 'created',
  })
  const next = await start(a, undefined, { message: 'hello', conversationId })
  t.equal(next.status, 202, 'does not stand in the way of those behind it')
  t.match((await a.ended(next.body.runId)).body, { status: 'completed' })
  t.same(await query(a, `select id from runs where id = '${turn.turnId}'`), [])
})

t.test('a turn that somebody else has dispatched meanwhile is not sent again', async (t) => {
  const { a, b, conversationId } = await pair(t)
  const held = Promise.withResolvers<void>()
  const failed = (where: string) =>
    until(async () => (await query(b, `select from runs where ${where} and status = 'failed'`))[0])

  t.test('by its own dispatcher, which was long about interrupting', async (t) => {
    await start(b, undefined, { message: ENDLESS, conversationId })
    const { context } = a.app.stores.turns
    a.app.stores.turns.context = async (...place) => {
      await held.promise
      return context(...place)
    }
    const slow = start(a, 'slow', { message: FAILING, conversationId, ifBusy: 'interrupt' })
    await until(async () => (await turnOfKey(b, 'slow')) !== undefined)
    t.equal((await start(b, undefined, { message: 'behind it', conversationId })).status, 202)
    await failed(`idempotency_key = 'slow'`)
    held.resolve()
    const { status, body } = await slow
    a.app.stores.turns.context = context
    t.equal(status, 202)
    t.equal((await runsOf(b, (await turnOfKey(b, 'slow'))?.id ?? '')).length, 1)
    t.match((await b.ended(body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
  })

  t.test('by one that has waited behind it as long as the other', async (t) => {
    const { promise: looked, resolve: look } = Promise.withResolvers<void>()
    const { promise: told, resolve: tell } = Promise.withResolvers<void>()
    const dead = storedTurn(2, conversationId)
    const message = { ...dead.message, text: FAILING, parts: [{ type: 'text' as const, text: FAILING }] }
    t.match(await b.app.stores.turns.start({ ...dead, message }), { outcome: 'created' })
    const { list } = a.app.engine
    // The list lags behind: when it is asked, the other has sent nothing yet.
    a.app.engine.list = async function* () {
      look()
      await told
      yield* []
    }
    const waiting = start(a, undefined, { message: 'behind it', conversationId })
    await looked
    const other = start(b, undefined, { message: 'behind both', conversationId })
    await failed(`id = '${dead.turnId}'`)
    tell()
    t.equal((await waiting).status, 202)
    t.equal((await other).status, 202)
    a.app.engine.list = list
    t.equal((await runsOf(b, dead.turnId)).length, 1)
  })
})

t.test("a run that begins while it is found to be overtaken stays the turn's", async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)
  const { body: long } = await start(b, undefined, { message: ENDLESS, conversationId })
  toEngine.toxics.swallowAnswers = true
  const body = { message: 'What is 6 * 7?', conversationId }
  t.equal((await start(a, 'late', body)).status, 503)
  await toEngine.mend()
  const turnId = (await turnOfKey(b, 'late'))?.id ?? ''
  const [first] = await runsOf(b, turnId)
  t.equal((await start(b, undefined, { message: 'Three.', conversationId })).status, 202)
  const { isOvertaken } = b.app.stores.turns
  b.app.stores.turns.isOvertaken = async (...place) => {
    const overtaken = await isOvertaken(...place)
    await b.call('POST', `${CHAT}/${long.runId}/cancel`)
    await b.app.stores.turns.markRunning(turnId, first?.runId ?? '', null)
    return overtaken
  }
  const late = await start(b, 'late', body)
  t.equal(late.body.runId, first?.runId)
  t.match((await b.ended(late.body.runId)).body, { status: 'completed', text: '6 * 7 = 42.' })
})
