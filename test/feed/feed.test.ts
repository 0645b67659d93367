import pg from 'pg'
import { type Test, test } from 'tap'
import { query, until } from '../services/rows.ts'
import { type FeedClient, openFeed } from '../support/feed-client.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

async function clientOf(t: Test, { databaseUrl }: Service): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

const sync = (service: Service, body: object, user = 'alice') =>
  service.call('POST', `${CHAT}/sync`, { user, body: { message: 'hi', ...body } })

/** All events of a user, in the order of the feed, as ids without their times. */
const stored = async (service: Service, user = 'alice') =>
  (
    await query<{ id: string }>(
      service,
      `select xid || '-' || id as id from feed_events e where user_id = '${user}' order by e.xid, e.id`,
    )
  ).map(({ id }) => id)

const idsOf = ({ events }: { events: FeedClient['events'] }) =>
  events.map(({ id }) => id.split('-').slice(0, 2).join('-'))

test('a viewer sees the turns of other clients: of one conversation, or of all of them', async (t) => {
  const service = await startService(t)
  const all = await openFeed(service)
  t.equal(all.status, 200)
  const { runId, conversationId } = (await sync(service, {})).body
  const one = await openFeed(service, { conversationId: conversationId.toUpperCase() })
  const ofBob = await openFeed(service, { user: 'bob' })
  const other = (await sync(service, {})).body
  const second = (await sync(service, { conversationId })).body
  await sync(service, {}, 'bob')
  await service.call('PATCH', `/api/agent/conversations/${conversationId}`, {
    body: { title: 'Another one' },
  })
  await one.until(({ type }) => type === 'conversation.updated')
  await all.until(({ type }) => type === 'conversation.updated')

  const { body: log } = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
  const [question, answer] = log.data
  const seen = all.events.filter(({ data }) => data.runId === runId)
  t.match(
    seen.map(({ type, data }) => [type, data.conversationId, data.messageId, data.role]),
    [
      ['run.queued', conversationId],
      ['message.stored', conversationId, question.id, 'user'],
      ...(seen.some(({ type }) => type === 'run.started') ? [['run.started', conversationId]] : []),
      ['run.completed', conversationId],
      ['message.stored', conversationId, answer.id, 'assistant'],
    ],
  )
  t.ok(all.events.some(({ data }) => data.runId === other.runId))
  t.ok(all.events.some(({ data }) => data.runId === second.runId))
  t.ok(one.events.every(({ data }) => data.conversationId === conversationId))
  t.ok(one.events.some(({ data }) => data.runId === second.runId))
  t.notOk(ofBob.events.some(({ data }) => data.conversationId === conversationId))
  t.notMatch(all.body(), /"hi"|Another one/, 'an event holds no text')

  await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
  await one.until(({ type }) => type === 'conversation.deleted')
  t.equal(await one.closed, 'end', 'after that nothing follows')
  await all.until(({ type }) => type === 'conversation.deleted')
  for (const feed of [all, ofBob]) feed.leave()
})

test('a viewer that is cut after every event and resumes anywhere sees what an uncut one sees', async (t) => {
  const engine = await startEngine(t)
  const a = await startService(t, { engine })
  const b = await startService(t, { engine, databaseUrl: a.databaseUrl })
  const whole = await openFeed(a)
  const first = await openFeed(b)
  let lastEventId = first.lastId()
  first.leave()
  let isOver = false
  const pieces: FeedClient['events'] = []
  async function resumed(): Promise<void> {
    for (let at = 0; !isOver; at++) {
      const feed = await openFeed(at % 2 === 0 ? a : b, { lastEventId })
      await Promise.race([feed.until(() => true), until(async () => isOver)]).catch(() => {})
      // What comes with the first event counts as received, too.
      pieces.push(...feed.events.slice(0, 1))
      lastEventId = feed.events[0]?.id ?? lastEventId
      feed.leave()
    }
  }
  const resuming = resumed()
  const turns = async (service: Service) => {
    const { conversationId } = (await sync(service, {})).body
    await Promise.all([sync(service, { conversationId }), sync(service, { conversationId })])
    const { runId } = (await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] story' } }))
      .body
    await service.call('POST', `${CHAT}/${runId}/cancel`)
  }
  await Promise.all([turns(a), turns(b), turns(a)])
  const all = await until(async () => {
    const ids = await stored(a)
    return pieces.length >= ids.length && whole.events.length >= ids.length && ids
  })
  isOver = true
  await resuming
  t.ok(all.length > 40, `${all.length} events`)
  t.strictSame(idsOf(whole), all)
  t.strictSame(idsOf({ events: pieces }), all)
  whole.leave()
})

test('transactions that commit in another order than they began change neither the order nor the number of events', async (t) => {
  const service = await startService(t)
  const create = async () =>
    (await service.call('POST', '/api/agent/conversations', { body: { title: 'a' } })).body.id
  const [early, late] = [await create(), await create()]
  const before = await openFeed(service)
  const [slow, quick] = [await clientOf(t, service), await clientOf(t, service)]
  const rename = (client: pg.Client, id: string) =>
    client.query(`update conversations set title = 'b' where id = '${id}'`)
  await slow.query('begin')
  await rename(slow, early)
  await rename(quick, late)
  await sync(service, {}, 'bob')
  const during = await openFeed(service, { lastEventId: before.lastId() })
  const held = async () => service.app.feed.stats().heldSeconds > 0
  await until(held)
  t.strictSame([before.events, during.events], [[], []], 'the event of the later transaction waits')
  await slow.query('commit')
  for (const feed of [before, during]) {
    await feed.until(({ data }) => data.conversationId === late)
    t.strictSame(
      feed.events.map(({ data }) => data.conversationId),
      [early, late],
    )
    feed.leave()
  }
  const again = await openFeed(service, { lastEventId: before.events[0]?.id })
  await again.until(() => true)
  t.strictSame(again.events, before.events.slice(1), 'a resumed viewer gets the second one alone')
  again.leave()
})

test('a transaction that waits for the lock of a conversation has no number yet, so events follow the locks', async (t) => {
  const service = await startService(t)
  const { conversationId, runId } = (await sync(service, {})).body
  const [holder, waiter] = [await clientOf(t, service), await clientOf(t, service)]
  const [{ pid }] = (await waiter.query('select pg_backend_pid() as pid')).rows
  await query(service, `update runs set status = 'queued' where run_id = '${runId}'`)
  await holder.query('begin')
  await holder.query(`select from conversations where id = '${conversationId}' for no key update`)
  const marking = waiter.query(`select mark_running('${runId}', null, 60) as done`)
  const state = async () =>
    (
      await query<{ waits: boolean; xid: string | null }>(
        service,
        `select wait_event_type = 'Lock' as waits, backend_xid as xid from pg_stat_activity where pid = ${pid}`,
      )
    )[0]
  await until(async () => (await state())?.waits === true)
  t.equal((await state())?.xid, null)
  await holder.query(`update runs set status = 'completed' where run_id = '${runId}'`)
  await holder.query('commit')
  t.same((await marking).rows, [{ done: false }], 'a run that has ended does not begin')
})

test('a feed ends with its token, and the id of a silent feed moves on', async (t) => {
  const service = await startService(t)
  const feed = await openFeed(service, { lifetime: '4s' })
  const opened = feed.lastId()
  t.match(opened, /^\d+-0-\d+$/)
  t.equal(await feed.closed, 'cut')
  const { runId } = (await sync(service, {})).body
  const next = await openFeed(service, { lastEventId: feed.lastId() })
  await next.until(({ type }) => type === 'run.completed')
  t.equal(next.events[0]?.data.runId, runId, 'what happened meanwhile follows')
  next.leave()
})

test('positions that cannot be served are refused', async (t) => {
  const service = await startService(t)
  const feed = await openFeed(service)
  const [xid = '', , at = ''] = feed.lastId()?.split('-') ?? []
  feed.leave()
  const refusal = async (lastEventId: string | undefined, conversationId?: string) => {
    const { status, body, closed } = await openFeed(service, { lastEventId, conversationId })
    await closed
    return [status, JSON.parse(body()).code]
  }
  for (const wrong of ['7', 'a-b-c', '-1-0-0', `${2n ** 64n}-0-${at}`, `1-${2n ** 63n}-${at}`])
    t.strictSame(await refusal(wrong), [400, 'invalid_stream_position'], wrong)
  t.strictSame(await refusal(`${xid}-0-${Date.now() - 61 * 60_000}`), [410, 'feed_expired'], 'an hour later')
  t.strictSame(
    await refusal(`${BigInt(xid) + 1_000_000n}-0-${at}`),
    [410, 'feed_expired'],
    'of another database',
  )
  const { body } = await service.call('POST', '/api/agent/conversations', { user: 'bob', body: {} })
  for (const id of [body.id, '00000000-0000-7000-8000-000000000001'])
    t.strictSame(await refusal(undefined, id), [404, 'conversation_not_found'])
})

test('events are deleted after an hour and a quarter', async (t) => {
  const service = await startService(t)
  await sync(service, {})
  const before = (await stored(service)).length
  await query(
    service,
    `update feed_events set created_at = now() - interval '74 minutes' where type = 'run.queued';
     update feed_events set created_at = now() - interval '76 minutes' where type = 'message.stored'`,
  )
  t.equal(await service.app.stores.feed.expire(100), 2)
  t.equal((await stored(service)).length, before - 2)
})

test('of a deleted conversation the feed holds no text', async (t) => {
  const service = await startService(t)
  const secret = 'Kumquat'
  const { conversationId } = (await sync(service, { message: `Say ${secret}`, metadata: { note: secret } }))
    .body
  await service.call('PATCH', `/api/agent/conversations/${conversationId}`, { body: { title: secret } })
  await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
  const rows = await query(service, 'select * from feed_events')
  t.ok(rows.length > 4)
  t.notMatch(JSON.stringify(rows), secret)
})
