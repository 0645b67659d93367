import t from 'tap'
import { lostEvents } from '../../../src/local/engine/lost-events.ts'
import type { Run } from '../../../src/local/engine/run.ts'
import { ended, start, unique } from './conformance/suite.ts'
import { openEngine, request } from './helper.ts'

type Row = { value?: { friendlyId: string; status: string } }

const changes = Array.from({ length: 10_000 }, (_, n) => ({ lastChange: n }) as Run)

t.test(
  'the switch decides about the share of lost events, and the same changes are lost every time',
  async (t) => {
    for (const share of [0, 0.02, 0.5, 1]) {
      const lost = changes.filter(lostEvents(share))
      t.same(changes.filter(lostEvents(share)), lost)
      t.ok(Math.abs(lost.length - share * changes.length) < 200, `${lost.length} of 10,000 at ${share}`)
    }
    t.equal(changes.filter(lostEvents(0)).length, 0)
    t.equal(changes.filter(lostEvents(1)).length, 10_000)
  },
)

t.test(
  'a subscription misses lost ends for good while others come, and hears of them after silence',
  async (t) => {
    const engine = await openEngine(t, { switches: { loseEvents: 0.4, longPollMs: 500 }, maxChildren: 1 })
    const tag = unique()
    let place = { offset: '-1', handle: '' }
    const poll = async () => {
      const query = new URLSearchParams({ tags: tag, log: 'full', offset: place.offset })
      if (place.handle) {
        query.set('handle', place.handle)
        query.set('live', 'true')
      }
      const { headers, body } = await request(`${engine.url}/realtime/v1/runs?${query}`)
      place = { offset: headers.get('electric-offset') ?? '', handle: headers.get('electric-handle') ?? '' }
      return (body as Row[]).flatMap(({ value }) => (value ? [value] : []))
    }
    await poll()
    const heard = new Set<string>()
    const listen = (rows: NonNullable<Row['value']>[]) => {
      for (const { friendlyId, status } of rows)
        if (status === 'COMPLETED_SUCCESSFULLY') heard.add(friendlyId)
    }
    const ids: string[] = []
    const missed = () => ids.filter((id) => !heard.has(id))
    // One after the other, each followed while it runs: so every answer is about events, and lost ones stay lost.
    while (missed().length === 0 || heard.size === 0) {
      const id = await start('echo', 1, { tags: [tag] })
      ids.push(id)
      const end = ended(id)
      const listening = poll().then(listen)
      await end
      await listening
    }
    t.ok(heard.size > 0, `${heard.size} of ${ids.length} ends were told`)
    t.ok(missed().length > 0)
    while (missed().length > 0) listen(await poll())
    t.equal(heard.size, ids.length, 'a long poll that ends without events tells the rest')
  },
)

t.test('without the switch nothing is lost', async (t) => {
  const engine = await openEngine(t, { maxChildren: 1 })
  const { id } = await ended(await start('echo', 1))
  const { body } = await request(`${engine.url}/realtime/v1/runs/${id}?offset=-1`)
  t.match((body as Row[])[0], { value: { friendlyId: id, status: 'COMPLETED_SUCCESSFULLY' } })
})
