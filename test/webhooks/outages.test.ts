import { test } from 'tap'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { query, until } from '../services/rows.ts'
import { createDatabase } from '../support/postgres.ts'
import { secretOf, startReceiver, verified, webhookSettings } from '../support/receiver.ts'
import { startService } from '../support/service.ts'

test('a start without the database keeps its webhook', async (t) => {
  const receiver = await startReceiver(t)
  const databaseUrl = await createDatabase(t)
  const proxy = await startToxicProxy(databaseUrl)
  t.teardown(() => proxy.stop())
  const environment = webhookSettings([{ name: 'shop', url: `${receiver.origin}/shop` }], [receiver.origin])
  const service = await startService(t, { databaseUrl: proxy.url, environment })
  await proxy.cut()
  const started = await service.call('POST', '/api/agent/chat', {
    body: { message: 'hi', webhook: { url: `${receiver.origin}/own` } },
  })
  t.equal(started.status, 202)
  t.notOk('conversationId' in started.body)
  await proxy.mend()
  const received = await receiver.until(({ length }) => length >= 2)
  t.strictSame(received.map(({ path }) => path).sort(), ['/own', '/shop'])
  for (const one of received) {
    t.match(verified(one, secretOf(one.path === '/own' ? 'starts' : 'shop')), {
      type: 'run.completed',
      data: { runId: started.body.runId, userId: 'alice' },
    })
  }
})

test('an instance that has started without the database sends once the database is there', async (t) => {
  const receiver = await startReceiver(t)
  const proxy = await startToxicProxy(await createDatabase(t))
  t.teardown(() => proxy.stop())
  await proxy.cut()
  const environment = webhookSettings([{ name: 'shop', url: receiver.url }])
  const service = await startService(t, { databaseUrl: proxy.url, environment })
  await proxy.mend()
  await until(async () => (await service.call('GET', '/readyz')).status === 200)
  await until(async () => (await query(service, 'select from webhook_receivers')).length === 1)
  const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  const [sent] = await receiver.until(({ length }) => length === 1)
  t.equal(sent?.body.data.runId, body.runId)
})
