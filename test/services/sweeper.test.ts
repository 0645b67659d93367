import t from 'tap'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'
import type { ServiceContext } from '../../src/services/context.ts'
import { dispatcher } from '../../src/services/dispatcher.ts'
import { finalizer } from '../../src/services/finalizer.ts'
import { sweeper } from '../../src/services/sweeper.ts'
import { unstoredRuns } from '../../src/services/unstored-runs.ts'
import { startService } from '../support/service.ts'
import { CHAT, pair, start } from './instances.ts'
import { query, until } from './rows.ts'

const ADDRESS_OF_NOBODY = 'http://127.0.0.1:9'

t.test('an instance that cannot ask the engine leaves what is due to one that can', async (t) => {
  const service = await startService(t)
  const log = { info() {}, warn() {}, error() {} }
  const context: ServiceContext = {
    stores: { ...service.app.stores, sweeps: { ...service.app.stores.sweeps } },
    engine: triggerRunEngine({
      secretKey: 'tr_dev_x',
      apiUrl: ADDRESS_OF_NOBODY,
      callsPerMinute: 0,
      listLagMs: 0,
      log,
    }),
    log,
    tags: { service: async () => 'service_test', instance: 'instance_test' },
    settings: { ttlSeconds: 60, maxDurationSeconds: 60, retentionDays: 1, largePayloads: false },
  }
  const cutOff = sweeper(context, dispatcher(context, unstoredRuns(context)), finalizer(context))
  // The service itself does not sweep meanwhile.
  service.app.stores.sweeps.claim = async () => []
  await query(
    service,
    `insert into runs (id, run_id, user_id, status, check_at, deadline_at)
     values (gen_random_uuid(), 'run_due', 'alice', 'queued', now(), now() + interval '1 hour'),
            (gen_random_uuid(), 'run_overdue', 'alice', 'queued', now(), now()),
            (gen_random_uuid(), null, 'alice', 'abandoned', now(), now())`,
  )
  const state = () =>
    query(service, 'select run_id, status, check_at <= now() as due from runs order by run_id')

  t.equal(await cutOff.sweep(), 3)
  t.same(await state(), [
    { run_id: 'run_due', status: 'queued', due: true },
    { run_id: 'run_overdue', status: 'failed', due: null },
    { run_id: null, status: 'abandoned', due: false },
  ])
  t.equal(await cutOff.sweep(), 0, 'it takes no more until the engine answers')
})

t.test('a sweep without end does not hold up what an outage has left behind', async (t) => {
  const { a, b, toDatabase } = await pair(t)
  await b.close()
  const { promise: sweeping, resolve: sweeps } = Promise.withResolvers<void>()
  const { promise: ended, resolve: end } = Promise.withResolvers<never[]>()
  a.app.stores.sweeps.claim = () => {
    sweeps()
    return ended
  }
  a.app.stores.sweeps.claimAdoption = async () => undefined
  await sweeping
  await toDatabase.cut()
  const { status, body } = await start(a, undefined, { message: 'What is 4 * 4?' })
  t.equal(status, 202)
  await toDatabase.mend()
  await until(async () => (await a.call('GET', `${CHAT}/${body.runId}`)).status === 200)
  end([])
})

t.test('what is due soon stays so', async (t) => {
  const service = await startService(t)
  const { sweeps, turns, runs } = service.app.stores
  sweeps.claim = async () => []
  const { claimAdoption } = sweeps
  sweeps.claimAdoption = async () => undefined

  t.test('a cancel, when the run is seen to begin', async (t) => {
    const [row] = await query<{ id: string }>(
      service,
      `insert into runs (id, run_id, user_id, status, check_at, deadline_at)
       values (gen_random_uuid(), 'run_begins', 'alice', 'queued', now() + interval '15 seconds', now() + interval '1 hour')
       returning id`,
    )
    t.ok(await runs.requestCancel('alice', 'run_begins'))
    await turns.markRunning(row?.id ?? '', 'run_begins', null)
    t.same(await query(service, `select status, check_at < now() + interval '6 seconds' as soon from runs`), [
      { status: 'running', soon: true },
    ])
  })

  t.test('a search for runs without a row, when whoever began it has died', async (t) => {
    const claimed = (seconds: number) =>
      query(
        service,
        `update service_identity set adoption_claimed_at = now() - ${seconds} * interval '1 second'`,
      )
    await claimed(30)
    t.equal(await claimAdoption(false), undefined)
    await claimed(46)
    t.type(await claimAdoption(false), Date)
  })
})
