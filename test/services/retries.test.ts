import t from 'tap'
import { startService } from '../support/service.ts'
import { CHAT, ENDLESS, insist, pair, start, turnOfKey } from './instances.ts'
import { until } from './rows.ts'

t.test('a retry of an unanswered start while the database is away', async (t) => {
  const { engine, a, b, toEngine, toDatabase } = await pair(t)
  toEngine.toxics.swallowAnswers = true
  const lost = start(a, 'lost', { message: ENDLESS })
  await until(async () => (await turnOfKey(b, 'lost'))?.state === 'dispatching')
  t.equal((await lost).status, 503)
  await toEngine.mend()
  toEngine.toxics.hang = true
  t.equal((await start(a, 'unsent', { message: 'What is 4 + 5?' })).status, 503)
  await toEngine.mend()
  t.equal((await turnOfKey(b, 'unsent'))?.state, 'abandoned')
  await toDatabase.cut()

  t.test('the retry is answered with the run that the engine has for its key', async (t) => {
    const { status, body } = await start(a, 'lost', { message: ENDLESS })
    t.equal(status, 202)
    t.equal((await insist(b, 'lost', { message: ENDLESS })).body.runId, body.runId)
  })

  t.test(
    'the retry starts a run when the engine has none for its key, and the run gets its row afterwards',
    async (t) => {
      const before = engine.stats().runs
      const { status, body } = await start(a, 'unsent', { message: 'What is 4 + 5?' })
      t.equal(status, 202)
      await toDatabase.mend()
      await until(async () => (await b.call('GET', `${CHAT}/${body.runId}`)).status === 200)
      t.match((await b.ended(body.runId)).body, { status: 'completed', text: '4 + 5 = 9.' })
      t.equal((await insist(b, 'unsent', { message: 'What is 4 + 5?' })).body.runId, body.runId)
      t.equal(engine.stats().runs, before + 1)
    },
  )
})

t.test('a start without the database that has failed is not run again by the retry', async (t) => {
  const { engine, a, b, toDatabase, toDatabaseOfB } = await pair(t)
  const before = engine.stats().runs
  const failing = { message: '[[fail]]' }
  await Promise.all([toDatabase.cut(), toDatabaseOfB.cut()])
  const first = await start(a, 'failing', failing)
  t.equal(first.status, 202)
  await until(async () => (await a.app.engine.get(first.body.runId))?.status === 'failed')
  t.equal(
    (await start(b, 'other', { message: 'hi' })).status,
    202,
    'the second instance has noticed the outage',
  )
  await toDatabaseOfB.mend()
  t.equal((await insist(b, 'failing', failing)).body.runId, first.body.runId)
  t.match((await b.ended(first.body.runId)).body, { status: 'failed', errorCode: 'provider_error' })
  t.equal(engine.stats().runs, before + 2)
})

t.test('the rate limit charges parallel starts with one key as one start', async (t) => {
  const service = await startService(t, { environment: { RATE_LIMIT_START_MAX: '1' } })
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => start(service, 'one', { message: 'What is 6 * 7?' })),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([202]))
  t.equal(new Set(answers.map(({ body }) => body.runId)).size, 1)
  t.equal((await start(service, 'two', { message: 'hi' })).status, 429)
})
