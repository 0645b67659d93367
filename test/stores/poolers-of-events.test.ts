import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { openFeed } from '../support/feed-client.ts'
import { startPgBouncer, WITHOUT_PGBOUNCER } from '../support/pgbouncer.ts'
import { createDatabase } from '../support/postgres.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { startService } from '../support/service.ts'

t.test(
  'webhooks and the feed work through PgBouncer in transaction mode',
  { skip: WITHOUT_PGBOUNCER },
  async (t) => {
    const receiver = await startReceiver(t)
    const { url } = await startPgBouncer(t, await createDatabase(t), { mode: 'transaction' })
    const service = await startService(t, {
      databaseUrl: url,
      environment: webhookSettings([{ name: 'shop', url: receiver.url }]),
    })
    while ((await service.call('GET', '/readyz')).body.status !== 'ok') await setTimeout(50)
    const first = await openFeed(service)
    first.leave()
    const runIds = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
        return body.runId as string
      }),
    )
    const received = await receiver.until(({ length }) => length >= runIds.length)
    t.strictSame(received.map(({ body }) => body.data.runId).sort(), runIds.toSorted())
    const feed = await openFeed(service, { lastEventId: first.lastId() })
    const ended = () =>
      feed.events.filter(({ type }) => type === 'run.completed').map(({ data }) => data.runId)
    await feed.until(() => ended().length === runIds.length)
    t.strictSame(ended().sort(), runIds.toSorted())
    feed.leave()
  },
)
