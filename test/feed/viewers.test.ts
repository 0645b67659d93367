import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { type Feed, feed } from '../../src/feed/feed.ts'
import type { FeedEvent, FeedRead } from '../../src/stores/feed.ts'

const log = { warn() {} }
const FAST = { readMs: 5, tickMs: 5, heartbeatMs: 20 }

const event = (xid: bigint, data: Record<string, string> = {}): FeedEvent => ({
  position: { xid, id: xid, at: Date.now() },
  type: 'run.queued',
  userId: 'alice',
  conversationId: null,
  data,
})

/** A feed over events that the test gives. */
function fake(t: Test, settings: Parameters<typeof feed>[1] = FAST) {
  const state = { horizon: 10n, events: [] as FeedEvent[], reads: 0, isAway: false }
  const store = {
    async read({ xid }: { xid: bigint }, userIds: string[], limit: number): Promise<FeedRead> {
      state.reads += 1
      if (state.isAway) throw new Error('away')
      const events = state.events.filter(
        ({ position, userId }) =>
          position.xid > xid && position.xid < state.horizon && userIds.includes(userId),
      )
      return { events: events.slice(0, limit), horizon: state.horizon, heldSeconds: 0 }
    },
  }
  const made: Feed = feed({ store, log }, settings)
  t.teardown(() => made.close())
  return { feed: made, state }
}

const alice = { userId: 'alice', expiresAt: Number.POSITIVE_INFINITY }

test('a heartbeat tells up to where the viewer has everything, without an event', async (t) => {
  const { feed, state } = fake(t)
  const viewer = await feed.view(alice)
  let body = ''
  viewer.setEncoding('utf8').on('data', (piece) => {
    body += piece
  })
  state.horizon = 99n
  while (!body.includes('id: 99-0-')) await once(viewer, 'data')
  t.match(body, /: ping\nid: 99-0-\d+\n\n/)
  t.equal(body.match(/data: /g)?.length, 1, 'the only event is the first one')
})

test('a viewer that does not read is cut at a mebibyte', async (t) => {
  const { feed, state } = fake(t)
  const viewer = await feed.view(alice)
  state.events = Array.from({ length: 200 }, (_, n) => event(20n + BigInt(n), { note: 'x'.repeat(10_000) }))
  state.horizon = 1_000n
  await once(viewer, 'close')
  t.notOk(viewer.readableEnded)
})

test('viewers are cut when the server has lost transactions that they have seen', async (t) => {
  const { feed, state } = fake(t)
  const viewer = await feed.view(alice)
  state.horizon = 5n
  viewer.resume()
  await once(viewer, 'close')
  t.notOk(viewer.readableEnded)
})

test('without viewers nothing is read, and a failure to read is waited out', async (t) => {
  const { feed, state } = fake(t)
  const viewer = await feed.view(alice)
  state.isAway = true
  const before = state.reads
  while (state.reads < before + 3) await new Promise(setImmediate)
  state.events = [event(20n)]
  state.horizon = 30n
  state.isAway = false
  let body = ''
  viewer.setEncoding('utf8').on('data', (piece) => {
    body += piece
  })
  while (!body.includes('run.queued')) await once(viewer, 'data')
  viewer.destroy()
  await once(viewer, 'close')
  // One more read may be under way.
  await new Promise((resolve) => setTimeout(resolve, 4 * FAST.readMs))
  const after = state.reads
  await new Promise((resolve) => setTimeout(resolve, 4 * FAST.readMs))
  t.equal(state.reads, after)
})

test('one user has a bounded number of open feeds', async (t) => {
  const { feed } = fake(t, { ...FAST, perUser: 1 })
  const viewer = await feed.view(alice)
  await t.rejects(feed.view(alice), { code: 'too_many_streams' })
  const closed = once(viewer, 'close')
  viewer.destroy()
  await closed
  await feed.view(alice)
})

test('a feed that was asked for some seconds comes to a clean end after them', async (t) => {
  const { feed } = fake(t)
  const viewer = await feed.view({ ...alice, seconds: 0.05 })
  t.match(await text(viewer), /feed\.opened/)
  t.ok(viewer.readableEnded)
})

test('a drain cuts the viewers and refuses new ones', async (t) => {
  const { feed } = fake(t)
  const viewer = await feed.view(alice)
  const read = text(viewer)
  feed.drain()
  await t.rejects(read)
  await t.rejects(feed.view(alice), { code: 'shutting_down' })
})
