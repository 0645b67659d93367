import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import { query, until } from '../services/rows.ts'
import { type FeedClient, openFeed } from '../support/feed-client.ts'
import { startPgBouncer, WITHOUT_PGBOUNCER } from '../support/pgbouncer.ts'
import { createDatabase } from '../support/postgres.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

/** Longer than a test may take: what is seen was not seen by the tick. */
const NEVER_MS = 3_600_000
/** The sessions that hear the notices of other instances. */
const SESSIONS = `select pid from pg_stat_activity
  where application_name = 'agent-chat-service events' and datname = current_database()`

const engine = await startEngine(t)

/** An instance that does not look by itself. */
function tickless(t: Test, databaseUrl: string, environment: Record<string, string> = {}): Promise<Service> {
  const { webhooks } = loadConfig({ AUTH_JWT_SECRET: 'x'.repeat(32), ...environment })
  const config = { feedReadMs: NEVER_MS, webhooks: { ...webhooks, tickMs: NEVER_MS } }
  return startService(t, { engine, databaseUrl, config })
}

/** A turn of one instance, from its start to its end. @returns its run */
async function ask(service: Service): Promise<string> {
  const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  return body.runId
}

const hears = (feed: FeedClient, runId: string) =>
  feed.until(({ type, data }) => type === 'run.completed' && data.runId === runId)

t.test('an instance hears of the events of another one long before its tick', async (t) => {
  const databaseUrl = await createDatabase(t)
  const receiver = await startReceiver(t)
  const asking = await tickless(t, databaseUrl)
  const other = await tickless(t, databaseUrl, webhookSettings([{ name: 'shop', url: receiver.url }]))
  const sessions = () => query<{ pid: number }>(asking, SESSIONS)
  await until(async () => (await sessions()).length === 2)
  await until(async () => (await query(other, 'select from webhook_receivers')).length === 1)
  const feed = await openFeed(other)
  const first = await ask(asking)
  await hears(feed, first)
  const [sent] = await receiver.until(({ length }) => length === 1)
  t.equal(sent?.body.data.runId, first)

  const before = (await sessions()).map(({ pid }) => pid)
  await query(asking, `select pg_terminate_backend(pid) from (${SESSIONS}) session`)
  await until(async () => {
    const rows = await sessions()
    return rows.length === 2 && rows.every(({ pid }) => !before.includes(pid))
  })
  await hears(feed, await ask(asking))
  await receiver.until(({ length }) => length === 2)
  t.pass('a session that was lost is opened again')
  feed.leave()
})

t.test('what was written while the session was lost is seen when it is back', async (t) => {
  const databaseUrl = await createDatabase(t)
  const service = await tickless(t, databaseUrl)
  const sessions = () => query<{ pid: number }>(service, SESSIONS)
  const [old] = await until(async () => {
    const rows = await sessions()
    return rows.length === 1 && rows
  })
  const feed = await openFeed(service)
  await query(service, `select note_event('run.completed', 'alice', null, '{"runId": "run_lost"}')`)
  await query(service, `select pg_terminate_backend(${old?.pid})`)
  await hears(feed, 'run_lost')
  t.pass('the event of a program that tells nobody')
  feed.leave()
})

t.test(
  'behind a pooler the events of other instances come by the tick',
  { skip: WITHOUT_PGBOUNCER },
  async (t) => {
    const { url: databaseUrl } = await startPgBouncer(t, await createDatabase(t), { mode: 'transaction' })
    const lines: string[] = []
    const stream = { write: (line: string) => void lines.push(line) }
    const asking = await startService(t, { engine, databaseUrl })
    const other = await startService(t, {
      ...{ engine, databaseUrl, environment: { LOG_LEVEL: 'info' } },
      logger: { stream },
    })
    await until(async () => lines.some((line) => line.includes('a pooler stands between')))
    const feed = await openFeed(other)
    await hears(feed, await ask(asking))
    t.same(await query(asking, SESSIONS), [], 'no instance keeps a session that would hear nothing')
    feed.leave()
  },
)
