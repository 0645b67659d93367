import { test } from 'tap'
import { openDatabase } from '../../src/stores/database.ts'
import { deliveryStore } from '../../src/stores/deliveries.ts'
import { query, until } from '../services/rows.ts'
import { createDatabase } from '../support/postgres.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { type Service, startService, token } from '../support/service.ts'

const LIST = '/api/agent/webhook-deliveries'
const UNKNOWN = '00000000-0000-7000-8000-000000000001'

test('deliveries are listed for the user whose events they are, and for administrators', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startService(t, {
    environment: webhookSettings([{ name: 'shop', url: receiver.url }]),
  })
  const runIds: string[] = []
  for (const user of ['alice', 'bob', 'alice']) {
    const { body } = await service.call('POST', '/api/agent/chat/sync', { user, body: { message: 'hi' } })
    runIds.push(body.runId)
  }
  await until(async () => {
    const rows = await query(service, `select from webhook_deliveries where status = 'delivered'`)
    return rows.length === 3
  })
  const list = (search = '', headers: Record<string, string> = {}) =>
    service.call('GET', `${LIST}${search}`, { headers })
  const admin = {
    authorization: `Bearer ${await token('root', { scope: 'agent:read agent:write agent:admin' })}`,
  }
  const runsOf = (answer: Awaited<ReturnType<typeof list>>) =>
    answer.body.data.map(({ runId }: { runId: string }) => runId)

  t.strictSame(runsOf(await list()), [runIds[2], runIds[0]], 'newest first')
  t.strictSame(runsOf(await list(`?runId=${runIds[0]}`)), [runIds[0]])
  t.strictSame(runsOf(await list(`?runId=${runIds[1]}`)), [], 'the run of another user')
  t.strictSame(runsOf(await list('?status=failed')), [])
  t.strictSame(runsOf(await list('', admin)), runIds.toReversed())

  const first = await list('?limit=1&status=delivered')
  t.strictSame(runsOf(first), [runIds[2]])
  const next = await list(`?limit=1&status=delivered&cursor=${first.body.nextCursor}`)
  t.strictSame(runsOf(next), [runIds[0]])
  t.equal(next.body.hasMore, false)
  t.match(await list(`?limit=1&cursor=${first.body.nextCursor}`), {
    status: 400,
    body: { code: 'invalid_cursor' },
  })

  const { id } = (await list(`?runId=${runIds[1]}`, admin)).body.data[0]
  const again = (of: string, headers: Record<string, string> = {}) =>
    service.call('POST', `${LIST}/${of}/redeliver`, { headers })
  t.match(
    await again(id),
    { status: 404, body: { code: 'delivery_not_found' } },
    'the delivery of another user',
  )
  t.match(await again(UNKNOWN), { status: 404, body: { code: 'delivery_not_found' } })
  t.equal((await again('x')).status, 400)
  t.equal((await again(id, admin)).status, 202)
  await receiver.until(({ length }) => length === 4)
  t.equal(receiver.received[3]?.headers['webhook-id'], id)
})

test('an address that must not be called is refused, and the delivery says so', async (t) => {
  const urls = [
    'https://127.0.0.1/',
    'https://169.254.169.254/latest/meta-data',
    'https://[::1]/',
    'https://2130706433/',
    'https://[::ffff:127.0.0.1]/',
    'https://localhost/',
  ]
  const settings = webhookSettings(urls.map((url, at) => ({ name: `e${at}`, url })))
  const service = await startService(t, { environment: { ...settings, WEBHOOK_ALLOWED_ADDRESSES: '' } })
  await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  const rows = await until(async () => {
    const { body } = await service.call('GET', LIST)
    const isTried = body.data.every(({ errorCode }: { errorCode?: string }) => errorCode !== undefined)
    return isTried && body.data
  })
  t.equal(rows.length, urls.length)
  for (const row of rows)
    t.match(
      row,
      { status: 'pending', errorCode: 'address_refused', error: /private or reserved/ },
      row.endpoint,
    )
})

test('the deliveries of a run to one receiver keep their order: the next waits for the one before', async (t) => {
  const receiver = await startReceiver(t)
  let isUp = false
  receiver.answer((_request, response) => void response.writeHead(isUp ? 204 : 500).end())
  const service = await startService(t, {
    environment: webhookSettings([{ name: 'shop', url: receiver.url }]),
  })
  const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  await receiver.until(({ length }) => length === 1)
  await query(
    service,
    `insert into webhook_deliveries (id, target, event, user_id, run_id, status, due_at)
     values (time_ordered_uuid(), 'shop', 'run.cancelled', 'alice', '${body.runId}', 'pending', now()),
       (time_ordered_uuid(), 'shop', 'run.failed', 'alice', 'run_other', 'pending', now())`,
  )
  await receiver.until(({ length }) => length === 2)
  t.equal(receiver.received[1]?.body.data.runId, 'run_other', 'another run does not wait')
  isUp = true
  await receiver.until(({ length }) => length >= 5)
  const accepted = receiver.received.slice(2).map(({ body }) => [body.type, body.data.runId])
  const own = accepted.filter(([, runId]) => runId === body.runId).map(([type]) => type)
  t.strictSame(own, ['run.completed', 'run.cancelled'])
})

test('after a conversation is deleted, what was not delivered yet arrives without its contents', async (t) => {
  const receiver = await startReceiver(t)
  let isUp = false
  receiver.answer((_request, response) => void response.writeHead(isUp ? 204 : 500).end())
  const lines: string[] = []
  const service = await startService(t, {
    environment: {
      ...webhookSettings([{ name: 'archive', url: receiver.url, contents: true }]),
      LOG_LEVEL: 'debug',
    },
    logger: { stream: { write: (line: string) => void lines.push(line) } },
  })
  const secret = 'Kumquat'
  const { body } = await service.call('POST', '/api/agent/chat/sync', {
    body: { message: `Say the word ${secret} to me.`, metadata: { note: secret } },
  })
  await receiver.until(({ length }) => length === 1)
  t.match(receiver.received[0]?.text, secret, 'contents were in the first attempt')
  await service.call('DELETE', `/api/agent/conversations/${body.conversationId}`)
  isUp = true
  await receiver.until((received) => new Set(received.map(({ body }) => body.type)).size === 2)
  await receiver.until(({ length }) => length >= 3)
  for (const one of receiver.received.slice(1)) t.notMatch(one.text, secret)
  const rows = await query(service, 'select * from webhook_deliveries')
  t.equal(rows.length, 2)
  t.notMatch(JSON.stringify(rows), secret)
  t.notMatch(lines.join(''), secret)
})

test('a redirect is not followed, and the delivery says so', async (t) => {
  const [receiver, elsewhere] = [await startReceiver(t), await startReceiver(t)]
  receiver.answer((_request, response) => void response.writeHead(302, { location: elsewhere.url }).end())
  const service = await startService(t, {
    environment: webhookSettings([{ name: 'shop', url: receiver.url }]),
  })
  await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  const [row] = await until(async () => {
    const { body } = await service.call('GET', LIST)
    return body.data[0]?.errorCode !== undefined && body.data
  })
  t.match(row, { status: 'pending', errorCode: 'redirected', responseStatus: 302, nextAttemptAt: /T/ })
  t.strictSame(elsewhere.received, [])
})

test('deliveries expire with the runs, and those that no instance knows a receiver for fail', async (t) => {
  // A service would do the same beside the test.
  const database = openDatabase({ url: await createDatabase(t), poolMax: 2, log: { warn() {} } })
  const service = { app: { database } } as Service
  t.teardown(() => database.close())
  const deliveries = deliveryStore(database)
  await query(
    service,
    `insert into webhook_deliveries (id, target, event, user_id, status, due_at, created_at) values
       (time_ordered_uuid(), 'old', 'run.failed', 'alice', 'delivered', null, now() - interval '31 days'),
       (time_ordered_uuid(), 'old', 'run.failed', 'alice', 'pending', now(), now() - interval '31 days'),
       (time_ordered_uuid(), 'young', 'run.failed', 'alice', 'delivered', null, now() - interval '29 days'),
       (time_ordered_uuid(), 'lost', 'run.failed', 'alice', 'pending', now() - interval '61 minutes', now()),
       (time_ordered_uuid(), 'late', 'run.failed', 'alice', 'pending', now() - interval '61 minutes', now()),
       (time_ordered_uuid(), 'new', 'run.failed', 'alice', 'pending', now() - interval '59 minutes', now())`,
  )
  const late = { name: 'late', settings: 'x', events: [], users: null, digest: 'x' }
  t.same(await deliveries.nameReceivers([late]), ['late'])
  await deliveries.failUnclaimed(100)
  // The upkeep of the service does the same once a minute, so either of the two may have removed the rows.
  await deliveries.expire(30, 100)
  t.same(await query(service, 'select target, status, error_code from webhook_deliveries order by target'), [
    { target: 'late', status: 'pending', error_code: null },
    { target: 'lost', status: 'failed', error_code: 'receiver_unknown' },
    { target: 'new', status: 'pending', error_code: null },
    { target: 'young', status: 'delivered', error_code: null },
  ])
})
