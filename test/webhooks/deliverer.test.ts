import { test } from 'tap'
import { deliverer } from '../../src/services/webhooks/deliverer.ts'
import type { ClaimedDelivery, DeliveryResult, Room } from '../../src/stores/deliveries.ts'
import type { PostResult } from '../../src/webhooks/post.ts'
import { secretOf } from '../support/receiver.ts'

const endpoint = (name: string) => ({
  name,
  url: `https://${name}.example/`,
  secrets: [secretOf(name)],
  events: ['run.completed' as const],
  contents: false,
})

const delivery = (target: string, own: Partial<ClaimedDelivery> = {}): ClaimedDelivery => ({
  ...{ id: `of ${target}`, target, url: null, event: 'run.completed', userId: 'alice', conversationId: null },
  ...{
    runId: 'run_1',
    attempts: 1,
    attemptsBefore: 0,
    forced: false,
    isOff: false,
    createdAt: new Date(),
    run: null,
  },
  ...own,
})

/** A deliverer whose claims are given, and what it has done. */
function fake(
  t: { teardown(fn: () => void): void },
  claims: ClaimedDelivery[][],
  answer: (url: string) => PostResult,
) {
  const claimed: Room[][] = []
  const results = new Map<string, DeliveryResult>()
  const watchers = new Set<() => void>()
  const seen = () => {
    for (const check of watchers) check()
  }
  const deliveries = {
    async claim(receivers: Room[]) {
      claimed.push(receivers)
      seen()
      return claims.shift() ?? []
    },
    async finish({ id }: ClaimedDelivery, result: DeliveryResult) {
      results.set(id, result)
      seen()
    },
    nameReceivers: async () => [],
    failUnclaimed: async () => 0,
    switchEndpoint: async () => {},
    lag: async () => ({ overdueSeconds: 0, off: [] }),
  }
  const log = { info() {}, warn() {}, error() {} }
  const posted: string[] = []
  const post = async ({ url }: { url: string }) => {
    posted.push(url)
    return answer(url)
  }
  const settings = {
    endpoints: [endpoint('a'), endpoint('b')],
    allowedOrigins: ['https://own.example'],
    secrets: [secretOf('own')],
  }
  const running = deliverer({ stores: { deliveries } as never, log }, post, settings)
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  void running.run(stop.signal)
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const check = () => {
        if (!condition()) return
        watchers.delete(check)
        resolve()
      }
      watchers.add(check)
      check()
    })
  return { running, claimed, results, posted, until }
}

test('a receiver that asks for a pause gets one, the others go on', async (t) => {
  const busy: PostResult = { isDelivered: false, errorCode: 'refused', status: 429, retryAfter: 60 }
  const { running, claimed, results, until } = fake(t, [[delivery('a'), delivery('b')]], (url) =>
    url.includes('//a.') ? busy : { isDelivered: true, status: 204 },
  )
  await until(() => results.size === 2)
  t.match(results.get('of a'), { status: 'pending', responseStatus: 429, dueInSeconds: 60 })
  t.match(results.get('of b'), { status: 'delivered', dueInSeconds: null })
  const before = claimed.length
  running.wake()
  await until(() => claimed.length > before)
  t.strictSame(
    claimed.at(-1)?.map(({ target }) => target),
    ['b', 'https://own.example'],
  )
})

test('an address whose origin is not allowed any more is not called', async (t) => {
  const own = (id: string, url: string) => delivery('https://own.example', { id, url })
  const claims = [
    [own('good', 'https://own.example/x'), own('bad', 'https://other.example/x'), own('none', 'x')],
  ]
  const { results, posted, until } = fake(t, claims, () => ({ isDelivered: true, status: 200 }))
  await until(() => results.size === 3)
  t.strictSame(posted, ['https://own.example/x'])
  for (const id of ['bad', 'none'])
    t.match(results.get(id), { status: 'failed', errorCode: 'receiver_unknown' })
})
