import { once } from 'node:events'
import { type Test, test } from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import { RETRY_SECONDS, retryDelay } from '../../src/services/webhooks/retry-delay.ts'
import { query, until } from '../services/rows.ts'
import { type Received, secretOf, startReceiver, verified, webhookSettings } from '../support/receiver.ts'
import { type Service, startService } from '../support/service.ts'

/** The clock of the retries runs 3,600 times as fast: an hour of the schedule takes a second. */
const FAST = RETRY_SECONDS.map((seconds) => seconds / 3_600)

const serviceWith = (t: Test, environment: Record<string, string>, retrySeconds = FAST) =>
  startService(t, { config: { webhooks: { ...loadConfig(environment).webhooks, retrySeconds } } })

async function ended(service: Service, count: number): Promise<string[]> {
  const one = async () => {
    const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'hi' } })
    return (await service.ended(body.runId)).body.runId as string
  }
  return Promise.all(Array.from({ length: count }, one))
}

const idOf = ({ headers }: Received) => headers['webhook-id'] ?? ''

test('what a receiver misses in an hour is delivered when it is up again: all of it, each id once', async (t) => {
  const down = await startReceiver(t)
  const { port } = new URL(down.url)
  down.server.close()
  await once(down.server, 'close')
  const service = await serviceWith(t, webhookSettings([{ name: 'shop', url: down.url }]))
  const runIds = await ended(service, 5)
  // The fifth attempt comes two hours after the fourth.
  await until(async () => {
    const [row] = await query<{ least: number }>(
      service,
      'select min(attempts) as least from webhook_deliveries',
    )
    return (row?.least ?? 0) >= 4
  })
  t.same(await query(service, `select distinct status, error_code from webhook_deliveries`), [
    { status: 'pending', error_code: 'connection_failed' },
  ])

  const receiver = await startReceiver(t, Number(port))
  const refused = new Set<string>()
  receiver.answer((request, response) => {
    const isFirst = !refused.has(idOf(request))
    refused.add(idOf(request))
    response.writeHead(isFirst ? 500 : 204).end()
  })
  const received = await receiver.until(({ length }) => length >= 2 * runIds.length)
  await until(async () => {
    const { body } = await service.call('GET', '/api/agent/webhook-deliveries?status=delivered')
    return body.data.length === runIds.length
  })
  t.equal(received.length, 2 * runIds.length, 'once it was accepted, nothing is sent again')
  for (const one of received) t.same(verified(one, secretOf('shop')), one.body)
  const byId = Map.groupBy(received, idOf)
  t.strictSame(
    [...byId.values()].map(({ length }) => length),
    runIds.map(() => 2),
    'one id over all attempts',
  )
  const events = [...byId.values()].map(([first]) => first?.body.data.runId)
  t.strictSame(events.sort(), runIds.sort(), 'every event has arrived')
})

test('after the last attempt a delivery is given up, and it can be sent again', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer((_request, response) => void response.writeHead(500).end())
  const service = await serviceWith(t, webhookSettings([{ name: 'shop', url: receiver.url }]), [0.001, 0.001])
  const [runId] = await ended(service, 1)
  const list = async (of: string) =>
    (await service.call('GET', `/api/agent/webhook-deliveries?runId=${runId}&status=${of}`)).body.data
  const [failed] = await until(async () => {
    const found = await list('failed')
    return found.length > 0 && found
  })
  t.match(failed, { event: 'run.completed', endpoint: 'shop', runId, attempts: 3, responseStatus: 500 })
  t.match(failed, { errorCode: 'refused', error: /answered with an error/ })
  receiver.answer((_request, response) => void response.writeHead(200).end())
  const again = await service.call('POST', `/api/agent/webhook-deliveries/${failed.id}/redeliver`)
  t.match(again, { status: 202, body: { id: failed.id, status: 'pending', attempts: 3 } })
  t.match(
    again.body,
    { responseStatus: 500, errorCode: 'refused' },
    'the last attempt is told until there is another',
  )
  const [delivered] = await until(async () => {
    const found = await list('delivered')
    return found.length > 0 && found
  })
  t.match(delivered, { id: failed.id, attempts: 4, responseStatus: 200 })
  t.notOk('errorCode' in delivered)
  t.strictSame(new Set(receiver.received.map(idOf)).size, 1)

  receiver.answer((_request, response) => void response.writeHead(500).end())
  await service.call('POST', `/api/agent/webhook-deliveries/${failed.id}/redeliver`)
  const [given] = await until(async () => {
    const found = await list('failed')
    return found.length > 0 && found
  })
  t.equal(given.attempts, 7, 'it has all attempts again, and the count goes on')
})

test('410 switches an endpoint off until a delivery is accepted again', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer((_request, response) => void response.writeHead(410).end())
  const service = await serviceWith(t, webhookSettings([{ name: 'shop', url: receiver.url }]))
  const failedOnes = (count: number) =>
    until(async () => {
      const { body } = await service.call('GET', '/api/agent/webhook-deliveries?status=failed')
      return body.data.length === count && body.data
    })
  await ended(service, 1)
  t.match(await failedOnes(1), [{ errorCode: 'gone', attempts: 1 }])
  await ended(service, 1)
  const [missed] = await failedOnes(2)
  t.match(missed, { errorCode: 'endpoint_off', attempts: 0 })
  t.equal(receiver.received.length, 1, 'an endpoint that is off is not called')

  receiver.answer((_request, response) => void response.writeHead(204).end())
  await service.call('POST', `/api/agent/webhook-deliveries/${missed.id}/redeliver`)
  await receiver.until(({ length }) => length === 2)
  await until(async () => {
    const rows = await query(service, 'select from webhook_receivers where off_at is null')
    return rows.length === 1
  })
  await ended(service, 1)
  await receiver.until(({ length }) => length === 3)
  t.pass('the endpoint is on again')
})

test("410 ends the delivery of a start's own webhook, and no other one", async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer((request, response) => void response.writeHead(request.path === '/off' ? 410 : 204).end())
  const service = await serviceWith(t, webhookSettings([], [receiver.origin]))
  const start = async (path: string) => {
    const body = { message: 'hi', webhook: { url: receiver.origin + path } }
    await service.call('POST', '/api/agent/chat/sync', { body })
  }
  await start('/off')
  await start('/on')
  await receiver.until(({ length }) => length === 2)
  const found = await until(async () => {
    const { body } = await service.call('GET', '/api/agent/webhook-deliveries')
    const isOver = body.data.every(({ status }: { status: string }) => status !== 'pending')
    return body.data.length === 2 && isOver && body.data
  })
  t.match(found, [
    { url: `${receiver.origin}/on`, status: 'delivered' },
    { url: `${receiver.origin}/off`, status: 'failed', errorCode: 'gone' },
  ])
})

test('the schedule is that of Standard Webhooks, and a receiver may ask for more time within a day', (t) => {
  for (const [at, seconds] of RETRY_SECONDS.entries()) {
    const delay = retryDelay(at + 1) ?? 0
    t.ok(delay >= 0.9 * seconds && delay <= 1.1 * seconds, `${seconds} s`)
  }
  t.equal(retryDelay(RETRY_SECONDS.length + 1), undefined)
  t.equal(retryDelay(1, 60), 60)
  t.ok(Number(retryDelay(2, 60)) >= 270, 'a shorter wish does not hurry')
  t.equal(retryDelay(1, 10_000_000), 86_400)
  t.equal(retryDelay(10, 60), undefined)
  t.ok(new Set(Array.from({ length: 20 }, () => retryDelay(2))).size > 1, 'with jitter')
  t.end()
})
