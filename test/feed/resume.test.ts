import { test } from 'tap'
import { feed } from '../../src/feed/feed.ts'
import { encodePosition } from '../../src/feed/position.ts'
import type { FeedEvent, FeedRead } from '../../src/stores/feed.ts'

const RUN = 'run_cmwrkineh0003z47dikyv7w07'
const CONVERSATION = '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f'

const viewerOf = (userId: string) => ({ userId, expiresAt: Date.now() + 60_000 })

/** A feed of one user with so many events, each as long as that of a stored message. */
function feedOf(count: number, settings: Parameters<typeof feed>[1] = {}) {
  const horizon = BigInt(count + 1)
  const events = Array.from(
    { length: count },
    (_, at): FeedEvent => ({
      position: { xid: BigInt(at + 1), id: BigInt(at + 1), at: Date.now() },
      type: 'message.stored',
      userId: 'alice',
      conversationId: CONVERSATION,
      data: { messageId: CONVERSATION, role: 'assistant', runId: RUN },
    }),
  )
  const store = {
    async read({ xid }: { xid: bigint }, userIds: string[], limit: number): Promise<FeedRead> {
      const after = userIds.length === 0 ? [] : events.slice(Number(xid), Number(xid) + limit)
      return { events: after, horizon, heldSeconds: 0 }
    },
  }
  return { events, feed: feed({ store, log: { warn() {} } }, settings) }
}

test('a viewer that has missed thousands of events gets all of them', async (t) => {
  const { events, feed } = feedOf(9_000)
  t.teardown(() => feed.close())
  const viewer = await feed.view(viewerOf('alice'), { xid: 0n, id: 0n, at: Date.now() })
  let text = ''
  for await (const bytes of viewer) {
    text += bytes
    if (text.includes(`id: ${encodePosition(events.at(-1)?.position as FeedEvent['position'])}\n`)) break
  }
  t.equal(text.match(/^data: /gm)?.length, 9_000)
})

test('viewers that come at once are not more than one user may have', async (t) => {
  const { feed } = feedOf(0, { perUser: 3 })
  t.teardown(() => feed.close())
  const opened = await Promise.allSettled(Array.from({ length: 10 }, () => feed.view(viewerOf('alice'))))
  t.equal(opened.filter(({ status }) => status === 'fulfilled').length, 3)
  t.equal(feed.stats().viewers, 3)
  for (const one of opened) if (one.status === 'rejected') t.match(one.reason, { code: 'too_many_streams' })
})
