import type pg from 'pg'
import type { FeedPosition } from '../../../src/feed/position.ts'
import type { Database } from '../../../src/stores/database.ts'
import { feedStore } from '../../../src/stores/feed.ts'
import { HEAVY_USER } from '../fill.ts'
import { BATCH, type Case, QUICK, ROW } from '../sample.ts'

export async function feed(database: Database, client: pg.Client): Promise<Case[]> {
  const store = feedStore(database)
  const { rows } = await client.query(
    `select max(id::bigint)::text as id, (array_agg(xid::text order by id desc))[1] as xid from feed_events
     where id > (select max(id) from feed_events) - 200 and id <= (select max(id) from feed_events) - 100`,
  )
  const at = Date.now()
  const near: FeedPosition = { xid: BigInt(rows[0].xid), id: BigInt(rows[0].id), at }
  const present: FeedPosition = { xid: 2n ** 40n, id: 0n, at }
  const users = Array.from({ length: 1_000 }, (_, n) => `user${n}`)
  return [
    {
      name: 'feed of 1,000 users, nothing new',
      buffers: QUICK,
      work: () => store.read(present, users, 1_000),
    },
    {
      name: 'feed of 1,000 users, a hundred new',
      buffers: 4 * QUICK,
      work: () => store.read(near, users, 1_000),
    },
    {
      name: 'feed, what one user has missed',
      buffers: 200 * QUICK,
      work: () => store.read({ xid: 0n, id: 0n, at }, ['user7'], 1_000),
    },
    {
      name: 'feed, a thousand of what a heavy user has missed',
      buffers: 1_100,
      work: () => store.read({ xid: 0n, id: 0n, at }, [HEAVY_USER], 1_000),
    },
    { name: `expire ${BATCH} events`, buffers: BATCH * ROW, work: () => store.expire(BATCH) },
  ]
}
