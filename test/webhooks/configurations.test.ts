import { test } from 'tap'
import { openDatabase } from '../../src/stores/database.ts'
import { deliveryStore } from '../../src/stores/deliveries.ts'
import { query, until } from '../services/rows.ts'
import { createDatabase } from '../support/postgres.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

const receiver = (name: string, settings = 'x', digest = 'x') => ({
  ...{ name, settings, digest, users: null },
  events: ['run.completed' as const],
})

/** Lets time pass in which no instance has named its receivers. */
const later = (service: Service, minutes: number) =>
  query(service, `update webhook_receivers set seen_at = seen_at - ${minutes} * interval '1 minute'`)

test('a receiver leaves when no instance has named it for some minutes, and so do settings of one', async (t) => {
  const database = openDatabase({ url: await createDatabase(t), poolMax: 2, log: { warn() {} } })
  t.teardown(() => database.close())
  const service = { app: { database } } as Service
  const { nameReceivers, switchEndpoint, lag } = deliveryStore(database)
  t.same(await nameReceivers([receiver('a'), receiver('b')]), ['a', 'b'], 'added')
  t.same(await nameReceivers([receiver('b'), receiver('a')]), [], 'the same ones')
  t.same(await nameReceivers([receiver('a'), receiver('c')]), ['c'], 'another instance knows others')
  await switchEndpoint(receiver('a'), true)
  t.same((await lag()).off, ['a'])
  t.same(await nameReceivers([receiver('a', 'y')]), ['a'], 'other settings of the same address')
  t.same((await lag()).off, ['a'], 'the address is still off')
  t.same(await nameReceivers([receiver('a', 'z', 'z')]), ['a'], 'another address')
  t.same((await lag()).off, [], 'the other address is not off')
  await later(service, 2)
  t.same(await nameReceivers([receiver('a')]), [], 'an instance may be late')
  await later(service, 2)
  t.same(await nameReceivers([receiver('a')]), ['a', 'b', 'c'], 'what was named long ago has left')
  t.same(await query(service, 'select name, settings from webhook_receivers'), [{ name: 'a', settings: 'x' }])
  t.same((await lag()).off, ['a'])
})

test('two instances with different endpoints lose no event of one another', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const [shop, desk] = [await startReceiver(t), await startReceiver(t)]
  const start = (...endpoints: Parameters<typeof webhookSettings>[0]) =>
    startService(t, { engine, databaseUrl, environment: webhookSettings(endpoints) })
  const named = (count: number) =>
    until(async () => (await query(a, 'select from webhook_receivers')).length === count)
  const ask = async (service: Service, message: string) =>
    (await service.call('POST', '/api/agent/chat/sync', { body: { message } })).body.runId as string

  const a = await start({ name: 'shop', url: shop.url, events: ['run.completed'] })
  await named(1)
  const b = await start(
    { name: 'shop', url: shop.url, events: ['run.failed'] },
    { name: 'desk', url: desk.url, events: ['run.completed'] },
  )
  await named(3)
  // A third instance names its own at its start, as each instance does once a minute.
  const c = await start({ name: 'shop', url: shop.url, events: ['run.completed'] })
  const completed = [await ask(a, 'hi'), await ask(b, 'hi'), await ask(c, 'hi')]
  const failed = [await ask(a, '[[fail]] hi'), await ask(b, '[[fail]] hi')]
  await shop.until(({ length }) => length >= 5)
  await desk.until(({ length }) => length >= 3)
  const runs = ({ received }: typeof shop) => received.map(({ body }) => body.data.runId).sort()
  t.same(
    runs(shop),
    [...completed, ...failed].sort(),
    'the shop hears what any instance wants for it, each once',
  )
  t.same(runs(desk), completed.toSorted(), 'the desk hears all, whichever instance ends the run')
  await until(async () => {
    const rows = await query<{ status: string }>(b, 'select status from webhook_deliveries')
    return rows.length === 8 && rows.every(({ status }) => status === 'delivered')
  })
})
