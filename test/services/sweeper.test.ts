import t from 'tap'
import type { RunSnapshot } from '../../src/engine/run-engine.ts'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'
import { startService } from '../support/service.ts'
import { CHAT, ENDLESS, pair, start } from './instances.ts'
import { ownSweeper, storeRun } from './own-sweeper.ts'
import { query, until } from './rows.ts'

const ADDRESS_OF_NOTHING = 'http://127.0.0.1:9'
const log = { info() {}, warn() {}, error() {} }

t.test('an instance that cannot reach the engine leaves due rows to other instances', async (t) => {
  const service = await startService(t)
  const cutOff = ownSweeper(
    service,
    triggerRunEngine({
      secretKey: 'tr_dev_x',
      apiUrl: ADDRESS_OF_NOTHING,
      callsPerMinute: 0,
      listLagMs: 0,
      log,
    }),
  )
  await storeRun(service, 'run_due')
  await storeRun(service, 'run_overdue', { deadline_at: 'now()' })
  await query(
    service,
    `insert into turns (id, user_id, state, check_at) values (gen_random_uuid(), 'alice', 'abandoned', now())`,
  )
  await cutOff.sweep()
  t.same(
    await query(
      service,
      'select run_id, status, error_code, check_at <= now() as due from runs order by run_id',
    ),
    [
      { run_id: 'run_due', status: 'queued', error_code: null, due: true },
      { run_id: 'run_overdue', status: 'failed', error_code: 'timed_out', due: true },
    ],
  )
  t.same(await query(service, `select state from turns where run_id is null`), [{ state: 'abandoned' }])
})

t.test(
  'a run that was ended at its deadline is cancelled at the engine as soon as the engine answers',
  async (t) => {
    const service = await startService(t)
    const { body } = await start(service, undefined, { message: ENDLESS })
    await until(async () => (await service.app.engine.get(body.runId))?.status === 'running')
    const { sweep } = ownSweeper(service, {
      ...service.app.engine,
      ping: async () => {},
      get: async () => {
        throw new Error('the answer of the engine cannot be read')
      },
    })
    await query(
      service,
      `update runs set deadline_at = now(), check_at = now() where run_id = '${body.runId}'`,
    )
    await sweep()
    t.match((await service.call('GET', `${CHAT}/${body.runId}`)).body, {
      status: 'failed',
      errorCode: 'timed_out',
    })
    await sweep()
    t.match(await service.app.engine.get(body.runId), { status: 'cancelled' })
    t.same(await query(service, 'select check_at from runs'), [{ check_at: null }])
  },
)

t.test('an overdue run keeps its partial answer while the engine can be asked', async (t) => {
  const service = await startService(t)
  const { body } = await start(service, undefined, { message: '[[stall-after:6]] Tell a story.' })
  await until(async () => {
    for await (const { chunk } of service.app.engine.chunks(body.runId, new AbortController().signal))
      if (chunk.type === 'text-delta') return true
    return false
  })
  await query(service, `update runs set deadline_at = now(), check_at = now() where run_id = '${body.runId}'`)
  const ended = (await service.ended(body.runId)).body
  t.match(ended, { status: 'failed', errorCode: 'timed_out' })
  t.ok(ended.text.length > 0)
  await until(async () => (await service.app.engine.get(body.runId))?.status === 'cancelled')
})

t.test(
  'a run whose end cannot be stored does not delay the ends of other runs, and ends at its deadline',
  async (t) => {
    const service = await startService(t)
    const poisoned = {
      runId: 'run_poisoned',
      status: 'completed',
      tags: [],
      createdAt: new Date(),
      output: {
        uiMessage: { id: 'x', role: 'assistant', parts: null },
        usage: null,
        finishReason: 'stop',
        chunkCount: 1,
      },
    } as unknown as RunSnapshot
    const { sweep } = ownSweeper(service, {
      ...service.app.engine,
      get: async (runId, purpose) =>
        runId === 'run_poisoned' ? poisoned : service.app.engine.get(runId, purpose),
    })
    await storeRun(service, 'run_poisoned')
    const { body } = await start(service, undefined, { message: 'What is 1 + 1?' })
    await until(async () => (await service.app.engine.get(body.runId))?.status === 'completed')
    await query(
      service,
      `update runs set check_at = now(), status = 'running', finished_at = null where run_id = '${body.runId}'`,
    )
    await query(service, `delete from messages where seq = 1`)
    await sweep()
    t.match((await service.call('GET', `${CHAT}/${body.runId}`)).body, { status: 'completed' })
    t.same(await query(service, `select status from runs where run_id = 'run_poisoned'`), [
      { status: 'queued' },
    ])
    await query(
      service,
      `update runs set check_at = now(), deadline_at = now() where run_id = 'run_poisoned'`,
    )
    await sweep()
    t.match(await query(service, `select status, error_code from runs where run_id = 'run_poisoned'`), [
      { status: 'failed', error_code: 'timed_out' },
    ])
  },
)

t.test('a run is not lost when the engine knew it between two answers that it does not exist', async (t) => {
  const service = await startService(t)
  const { body } = await start(service, undefined, { message: ENDLESS })
  await until(async () => (await service.call('GET', `${CHAT}/${body.runId}`)).body.status === 'running')
  let isKnown = true
  const { sweep } = ownSweeper(service, {
    ...service.app.engine,
    get: async (runId, purpose) => (isKnown ? service.app.engine.get(runId, purpose) : undefined),
  })
  for (const known of [false, true, false, true]) {
    isKnown = known
    await query(service, `update runs set check_at = now(), missed_at = missed_at - interval '61 seconds'`)
    await sweep()
    t.match(await query(service, 'select missed_at is null as known, status from runs'), [
      { known, status: 'running' },
    ])
  }
})

t.test('a running run is due within eight seconds, a queued run after ever longer pauses', async (t) => {
  const service = await startService(t)
  const { stores } = service.app
  const claim = stores.sweeps.claimRuns
  stores.sweeps.claimRuns = async () => []
  const ages = { run_new: 4, run_old: 100, run_oldest: 1_000 }
  for (const [runId, age] of Object.entries(ages))
    await storeRun(service, runId, { created_at: `now() - interval '${age} seconds'` })
  await storeRun(service, 'run_running', {
    status: `'running'`,
    created_at: `now() - interval '200 seconds'`,
  })
  await claim(100)
  t.same(
    await query(
      service,
      `select run_id, round(extract(epoch from check_at - now()))::int as seconds from runs order by run_id`,
    ),
    [
      { run_id: 'run_new', seconds: 8 },
      { run_id: 'run_old', seconds: 25 },
      { run_id: 'run_oldest', seconds: 60 },
      { run_id: 'run_running', seconds: 8 },
    ],
  )
})

t.test('a sweep that never ends does not delay the adoption of runs after an outage', async (t) => {
  const { a, b, toDatabase } = await pair(t)
  await b.close()
  const { promise: sweeping, resolve: sweeps } = Promise.withResolvers<void>()
  const { promise: ended, resolve: end } = Promise.withResolvers<never[]>()
  a.app.stores.sweeps.claimTurns = () => {
    sweeps()
    return ended
  }
  await sweeping
  await toDatabase.cut()
  const { status, body } = await start(a, undefined, { message: 'What is 4 * 4?' })
  t.equal(status, 202)
  await toDatabase.mend()
  await until(async () => (await a.call('GET', `${CHAT}/${body.runId}`)).status === 200)
  end([])
})

t.test('a row that is due soon stays due soon', async (t) => {
  const service = await startService(t)
  const { sweeps, ends, runs, housekeeping } = service.app.stores
  sweeps.claimRuns = async () => []
  const { claimSearch } = housekeeping
  housekeeping.claimSearch = async () => undefined

  t.test('a run with a requested cancel stays due when the run begins', async (t) => {
    await storeRun(service, 'run_begins', { check_at: `now() + interval '15 seconds'` })
    t.ok(await runs.requestCancel('alice', 'run_begins'))
    await ends.markRunning('run_begins', null)
    t.same(await query(service, `select status, check_at < now() + interval '6 seconds' as soon from runs`), [
      { status: 'running', soon: true },
    ])
  })

  t.test(
    'the search for runs without a row is due ten seconds after an instance that died had begun it',
    async (t) => {
      const claimed = (seconds: number) =>
        query(
          service,
          `update service_identity set adoption_claimed_at = now() - ${seconds} * interval '1 second'`,
        )
      await claimed(5)
      t.equal(await claimSearch(10, false), undefined)
      await claimed(11)
      t.type(await claimSearch(10, false), Date)
    },
  )
})

t.test('the deadline of a run is counted from its begin', async (t) => {
  const service = await startService(t, {
    environment: { RUN_TTL_SECONDS: '3600', RUN_MAX_DURATION_SECONDS: '60' },
  })
  const { body } = await start(service, undefined, { message: ENDLESS })
  await until(async () => (await service.call('GET', `${CHAT}/${body.runId}`)).body.status === 'running')
  const [row] = await query<{ seconds: number }>(
    service,
    `select extract(epoch from deadline_at - started_at)::int as seconds from runs`,
  )
  t.ok(row !== undefined && row.seconds >= 175 && row.seconds <= 190, String(row?.seconds))
})
