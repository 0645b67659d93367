import t from 'tap'
import { turnTag } from '../../src/services/context.ts'
import { startToxicProxy, type ToxicProxy } from '../chaos/toxic-proxy.ts'
import { createDatabase } from '../support/postgres.ts'
import { type Answer, type Service, startEngine, startService, type Teardown } from '../support/service.ts'
import { query, until } from './rows.ts'

const CHAT = '/api/agent/chat'
const ENDLESS = '[[stall-after:3]] story'

const start = (service: Service, key: string | undefined, body: object): Promise<Answer> =>
  service.call('POST', CHAT, { body, headers: key === undefined ? {} : { 'idempotency-key': key } })

/** Sends again until the answer is not "try again". */
async function insist(service: Service, key: string, body: object): Promise<Answer> {
  for (;;) {
    const answer = await start(service, key, body)
    if (!answer.body.retryable) return answer
  }
}

const turnOfKey = async (service: Service, key: string) =>
  (
    await query<{ id: string; status: string; run_id: string | null; attempt: number }>(
      service,
      `select id, status, run_id, dispatch_attempt as attempt from runs where idempotency_key = '${key}'`,
    )
  )[0]

/** What the engine has for a turn, newest first. */
async function runsOf({ app }: Service, turnId: string): Promise<Array<{ runId: string; status: string }>> {
  const runs = []
  for await (const { runId, status } of app.engine.list({ tag: turnTag(turnId) }))
    runs.push({ runId, status })
  return runs
}

/** Two instances on one database and one engine; both ways of `a` lead through proxies. */
async function pair(t: Teardown & Parameters<typeof createDatabase>[0]) {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const proxy = async (url: string): Promise<ToxicProxy> => {
    const made = await startToxicProxy(url)
    t.teardown(() => made.stop())
    return made
  }
  const [toEngine, toDatabase, toDatabaseOfB] = await Promise.all([
    proxy(engine.url),
    proxy(databaseUrl),
    proxy(databaseUrl),
  ])
  const a = await startService(t, { engine: { ...engine, url: toEngine.url }, databaseUrl: toDatabase.url })
  const b = await startService(t, { engine, databaseUrl: toDatabaseOfB.url })
  const warm = await start(a, 'warm', { message: 'hi' })
  await a.ended(warm.body.runId)
  return { engine, a, b, toEngine, toDatabase, toDatabaseOfB, conversationId: warm.body.conversationId }
}

t.test('a retry while the database is away', async (t) => {
  const { engine, a, b, toEngine, toDatabase } = await pair(t)
  toEngine.toxics.swallowAnswers = true
  const lost = start(a, 'lost', { message: ENDLESS })
  await until(async () => (await turnOfKey(b, 'lost'))?.status === 'dispatching')
  t.equal((await lost).status, 503)
  await toEngine.mend()
  toEngine.toxics.hang = true
  t.equal((await start(a, 'unsent', { message: 'What is 4 + 5?' })).status, 503)
  await toEngine.mend()
  t.equal((await turnOfKey(b, 'unsent'))?.status, 'abandoned')
  await toDatabase.cut()

  t.test('is not told of a run that may be about to be stopped', async (t) => {
    t.match(await start(a, 'lost', { message: ENDLESS }), {
      status: 503,
      body: { code: 'database_unavailable', retryAfter: Number },
    })
  })

  t.test('whose first start the engine never got is accepted, and its run is kept', async (t) => {
    const before = engine.stats().runs
    const { status, body } = await start(a, 'unsent', { message: 'What is 4 + 5?' })
    t.equal(status, 202)
    await toDatabase.mend()
    await until(async () => (await b.call('GET', `${CHAT}/${body.runId}`)).status === 200)
    t.match((await b.ended(body.runId)).body, { status: 'completed', text: '4 + 5 = 9.' })
    t.equal((await insist(b, 'unsent', { message: 'What is 4 + 5?' })).body.runId, body.runId)
    t.equal(engine.stats().runs, before + 1)
  })
})

t.test('a start without the database that has failed is not run again by the retry', async (t) => {
  const { engine, a, b, toDatabase, toDatabaseOfB } = await pair(t)
  const before = engine.stats().runs
  const failing = { message: '[[fail]]' }
  await Promise.all([toDatabase.cut(), toDatabaseOfB.cut()])
  const first = await start(a, 'failing', failing)
  t.equal(first.status, 202)
  await until(async () => (await a.app.engine.get(first.body.runId))?.status === 'failed')
  t.equal((await start(b, 'other', { message: 'hi' })).status, 202, 'it has noticed the outage')
  await toDatabaseOfB.mend()
  t.equal((await insist(b, 'failing', failing)).body.runId, first.body.runId)
  t.match((await b.ended(first.body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
  t.equal(engine.stats().runs, before + 2)
})

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

t.test('a key whose turn nobody could dispatch until its deadline begins anew', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)
  const body = { message: 'What is 1 + 2?', conversationId }
  await b.close()
  toEngine.toxics.hang = true
  const first = start(a, 'late', body)
  await until(async () => (await turnOfKey(a, 'late'))?.status === 'dispatching')
  await query(a, `update runs set deadline_at = now(), check_at = now() where idempotency_key = 'late'`)
  t.equal((await first).status, 503)
  await until(async () => (await turnOfKey(a, 'late'))?.status === 'abandoned')
  await toEngine.mend()
  const again = await insist(a, 'late', body)
  t.equal(again.status, 202)
  t.match((await a.ended(again.body.runId)).body, { status: 'completed', text: '1 + 2 = 3.' })
})

t.test('parallel starts with one key cost one start', async (t) => {
  const service = await startService(t, { environment: { RATE_LIMIT_START_MAX: '1' } })
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => start(service, 'one', { message: 'What is 6 * 7?' })),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([202]))
  t.equal(new Set(answers.map(({ body }) => body.runId)).size, 1)
  t.equal((await start(service, 'two', { message: 'hi' })).status, 429)
})

t.test('two misses of a run that the engine knew in between do not make it lost', async (t) => {
  const service = await startService(t)
  const { body } = await start(service, undefined, { message: ENDLESS })
  const [turn] = await query<{ id: string }>(service, `select id from runs where run_id = '${body.runId}'`)
  const look = (runId: string, missed: boolean) =>
    until(async () => {
      await query(service, `update runs set run_id = '${runId}', check_at = now() where id = '${turn?.id}'`)
      return (
        await query(
          service,
          `select from runs where id = '${turn?.id}' and (missed_at is not null) = ${missed} and check_at > now()`,
        )
      )[0]
    })
  await look('run_unknown', true)
  await query(service, `update runs set missed_at = now() - interval '61 seconds'`)
  await look(body.runId, false)
  await look('run_unknown', true)
  await look(body.runId, false)
  t.match((await service.call('GET', `${CHAT}/${body.runId}`)).body, { status: 'running' })
})
