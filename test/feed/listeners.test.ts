import { request } from 'node:http'
import { test } from 'tap'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { until } from '../services/rows.ts'
import { openFeed } from '../support/feed-client.ts'
import { createDatabase } from '../support/postgres.ts'
import { startService, token } from '../support/service.ts'

const LISTENERS = 1_000

test('a thousand listeners on one instance cost one query a tick', async (t) => {
  const service = await startService(t, { environment: { STREAMS_PER_USER_MAX: '1000' } })
  const { database } = service.app
  const reads: string[][] = []
  const statements: string[] = []
  const named = database.named.bind(database)
  database.named = (name, text, values) => {
    statements.push(name)
    if (name === 'read_feed') reads.push(values[2] as string[])
    return named(name, text, values)
  }
  const authorization = await Promise.all(['alice', 'bob'].map(async (user) => `Bearer ${await token(user)}`))
  const texts = Array.from({ length: LISTENERS }, () => '')
  const listen = (at: number) =>
    new Promise<void>((resolve, reject) => {
      const asked = request(`${service.url}/api/agent/events`, {
        agent: false,
        headers: { authorization: authorization[at % 2] },
      })
      t.teardown(() => asked.destroy())
      asked.on('error', reject)
      asked.on('response', (response) => {
        response.on('error', () => {})
        response.setEncoding('utf8').on('data', (text) => {
          texts[at] += text
          if (texts[at]?.includes('feed.opened')) resolve()
        })
      })
      asked.end()
    })
  for (let at = 0; at < LISTENERS; at += 100)
    await Promise.all(Array.from({ length: 100 }, (_, n) => listen(at + n)))
  t.equal(service.app.feed.stats().viewers, LISTENERS)

  // From here on every read is that of a tick: it is for both users, and there is no other statement.
  const before = reads.length
  statements.length = 0
  await until(async () => reads.length >= before + 4)
  for (const users of reads.slice(before)) t.strictSame(users.toSorted(), ['alice', 'bob'])
  const others = new Set(statements.filter((name) => name !== 'read_feed'))
  t.notOk(['poll', 'states', 'find_conversation'].some((name) => others.has(name)))

  const { runId } = (await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })).body
  const isTold = (at: number) => texts[at]?.includes(`"runId":"${runId}"`) === true
  await until(async () =>
    texts.every((_, at) => at % 2 === 1 || (isTold(at) && texts[at]?.includes('run.completed'))),
  )
  t.ok(texts.every((_, at) => at % 2 === 0 || !isTold(at)))
  t.ok(
    reads.every((users) => users.length <= 2),
    'no read was for one listener',
  )
})

test('while the database is away the listeners stay, and afterwards nothing is missing', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startToxicProxy(databaseUrl)
  t.teardown(() => proxy.stop())
  const service = await startService(t, { databaseUrl: proxy.url })
  const other = await startService(t, { engine: service.engine, databaseUrl })
  const feed = await openFeed(service)
  await proxy.cut()
  const { runId } = (await other.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })).body
  t.equal((await openFeed(service, { lastEventId: feed.lastId() })).status, 503, 'a new listener is refused')
  t.strictSame(feed.events, [])
  await proxy.mend()
  await feed.until(({ type, data }) => type === 'message.stored' && data.role === 'assistant')
  t.strictSame(
    feed.events.filter(({ type }) => type !== 'run.started').map(({ type, data }) => [type, data.runId]),
    ['run.queued', 'message.stored', 'run.completed', 'message.stored'].map((type) => [type, runId]),
  )
  feed.leave()
})
