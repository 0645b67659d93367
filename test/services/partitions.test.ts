import t from 'tap'
import { turnTag } from '../../src/services/run-tags.ts'
import { CHAT, ENDLESS, insist, pair, runsOf, start } from './instances.ts'
import { query, until } from './rows.ts'

const FAILING = { message: '[[fail]]' }

t.test('a run that was started while one instance alone could not reach the database', async (t) => {
  const { engine, a, b, toDatabase } = await pair(t)
  await toDatabase.cut()
  const failed = (runId: string) => until(async () => (await b.app.engine.get(runId))?.status === 'failed')

  t.test('a retry at another instance finds the failed run and starts no second one', async (t) => {
    const before = engine.stats().runs
    const first = await start(a, 'failing', FAILING)
    t.equal(first.status, 202)
    await failed(first.body.runId)
    const again = await insist(b, 'failing', FAILING)
    t.equal(again.body.runId, first.body.runId)
    t.match((await b.ended(first.body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
    t.equal(engine.stats().runs, before + 1)
  })

  t.test('a retry at the same instance finds the failed run and starts no second one', async (t) => {
    const before = engine.stats().runs
    const first = await start(a, 'again', FAILING)
    await failed(first.body.runId)
    t.equal((await start(a, 'again', FAILING)).body.runId, first.body.runId)
    t.equal(engine.stats().runs, before + 1)
  })

  t.test('another instance stores the end of the run', async (t) => {
    const first = await start(a, 'endless', { message: ENDLESS })
    const { body } = await insist(b, 'endless', { message: ENDLESS })
    t.equal(body.runId, first.body.runId)
    await query(b, `update runs set check_at = now() + interval '1 hour' where run_id = '${body.runId}'`)
    await b.app.engine.cancel(body.runId)
    t.match((await b.ended(body.runId)).body, { status: 'cancelled' })
  })

  t.test('another instance adopts the run while the outage goes on', async (t) => {
    const { body } = await start(a, undefined, { message: 'What is 6 * 7?' })
    await until(async () => (await b.call('GET', `/api/agent/chat/${body.runId}`)).status === 200)
    t.match((await b.ended(body.runId)).body, { status: 'completed', text: '6 * 7 = 42.' })
  })
})

t.test('a run that has failed and that the lists of the engine do not show yet', async (t) => {
  const { engine, a, b, toEngine, conversationId } = await pair(t, { listLagMs: 2_000 })
  /** Resolves when the run of the turn that is being dispatched has failed. */
  async function failed(): Promise<void> {
    const turn = await until(
      async () => (await query<{ id: string }>(b, `select id from turns where state = 'dispatching'`))[0],
    )
    const stop = new AbortController()
    for await (const { status } of b.app.engine.changes(turnTag(turn.id), stop.signal))
      if (status === 'failed') stop.abort()
  }

  t.test('the start that had no answer of the engine does not dispatch the turn again', async (t) => {
    const before = engine.stats().runs
    toEngine.toxics.swallowAnswers = true
    const starting = start(a, undefined, FAILING)
    await failed()
    await toEngine.mend()
    const { status, body } = await starting
    t.equal(status, 202)
    t.match((await b.ended(body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
    t.equal(engine.stats().runs, before + 1)
  })

  t.test(
    'the sweeper does not dispatch the turn again when its instance dies before it has recorded the run',
    async (t) => {
      const before = engine.stats().runs
      const { promise, reject } = Promise.withResolvers<never>()
      const hang = () => promise
      Object.assign(a.app.stores.turns, { record: hang })
      Object.assign(a.app.stores.ends, { markRunning: hang, finalize: hang })
      Object.assign(a.app.stores.sweeps, { claimTurns: hang, claimRuns: hang })
      const starting = start(a, undefined, { ...FAILING, conversationId })
      await failed()
      const [turn] = await query<{ id: string }>(b, `select id from turns where state = 'dispatching'`)
      await until(async () => (await runsOf(b, turn?.id ?? '')).length > 0)
      await query(b, `update turns set check_at = now() where state = 'dispatching'`)
      const next = await start(b, undefined, { message: 'Hello again.', conversationId })
      t.match((await b.ended(next.body.runId)).body, { status: 'completed' })
      const { body } = await b.call('GET', `/api/agent/chat?conversationId=${conversationId}`)
      t.match((await b.ended(body.data[1].runId)).body, { status: 'failed', errorCode: 'provider_error' })
      t.equal(engine.stats().runs, before + 2)
      reject(new Error('the instance has died'))
      await starting
    },
  )
})

t.test(
  'a retry finds the failed run of a start without the database at an instance that has not heard of the run',
  async (t) => {
    const { engine, a, b, toDatabase } = await pair(t, { loseEvents: 1 })
    await toDatabase.cut()
    const before = engine.stats().runs
    const first = await start(a, 'unheard', FAILING)
    t.equal(first.status, 202)
    await until(async () => (await b.app.engine.get(first.body.runId))?.status === 'failed')
    const again = await insist(b, 'unheard', FAILING)
    t.equal(again.body.runId, first.body.runId)
    t.match((await b.ended(first.body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
    t.equal(engine.stats().runs, before + 1)
  },
)

t.test('a run that was started without the database, when the lists do not show it yet', async (t) => {
  const { a, b, toDatabase, toEngine } = await pair(t, { listLagMs: 30_000 })
  // No instance learns of the run from its subscription or from a search.
  Object.assign(b.app.stores.housekeeping, {
    claimSearch: async () => undefined,
    unknownRuns: async () => [],
  })
  Object.assign(a.app.stores.housekeeping, { unknownRuns: async () => [] })
  /** Repeats a request while its answer is retryable. */
  const repeated = async (method: string, path: string, user = 'alice') => {
    for (;;) {
      const answer = await a.call(method, path, { user })
      if (!answer.body?.retryable) return answer
    }
  }
  async function startAway(message: string): Promise<string> {
    await toDatabase.cut()
    const { status, body } = await start(a, undefined, { message })
    t.equal(status, 202)
    await toDatabase.mend()
    return body.runId
  }

  t.test('a poll gives the run its row as soon as the database is back', async (t) => {
    const runId = await startAway('What is 6 * 7?')
    t.equal((await repeated('GET', `${CHAT}/${runId}`, 'bob')).status, 404, 'another user gets 404')
    t.equal((await repeated('GET', `${CHAT}/${runId}`)).status, 200)
    t.match((await a.ended(runId)).body, { status: 'completed', text: '6 * 7 = 42.' })
  })

  t.test('a cancel gives the run its row and ends the run', async (t) => {
    const runId = await startAway(ENDLESS)
    const { status, body } = await repeated('POST', `${CHAT}/${runId}/cancel`)
    t.equal(status, 200)
    t.equal(body.runId, runId)
    t.match((await a.ended(runId)).body, { status: 'cancelled' })
  })

  t.test('a poll of the run is 503 while the engine is away too, because the run may exist', async (t) => {
    const runId = await startAway('What is 2 * 2?')
    t.equal((await repeated('GET', CHAT)).status, 200)
    await toEngine.cut()
    t.match(await a.call('GET', `${CHAT}/${runId}`), { status: 503, body: { code: 'engine_unavailable' } })
    await toEngine.mend()
    t.equal((await repeated('GET', `${CHAT}/${runId}`)).status, 200)
  })
})

t.test(
  'the run of a start that reaches the engine after the turn was removed is cancelled as soon as it begins',
  async (t) => {
    const { engine, a, b, toEngine } = await pair(t)
    await b.close()
    // The search for runs without a row is off, so that only the observer can find the run.
    Object.assign(a.app.stores.housekeeping, { claimSearch: async () => undefined })
    const before = engine.stats().runs
    toEngine.toxics.delayMs = 12_000
    const late = await start(a, undefined, { message: ENDLESS })
    t.match(late, { status: 503, body: { code: 'engine_unavailable' } })
    const [turn] = await query<{ id: string }>(a, `delete from turns where state = 'abandoned' returning id`)
    toEngine.toxics.delayMs = 0
    await until(async () => engine.stats().runs > before)
    await until(async () => (await runsOf(b, turn?.id ?? '')).every(({ status }) => status === 'cancelled'))
    t.equal(engine.stats().runs, before + 1)
  },
)
