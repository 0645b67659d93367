import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import type { Database } from '../../../src/stores/database.ts'
import { type ClaimedDelivery, deliveryStore } from '../../../src/stores/deliveries.ts'
import { deliveryListStore } from '../../../src/stores/delivery-list.ts'
import { HEAVY_USER } from '../fill.ts'
import { BATCH, type Case, PAGE, QUICK, ROW, SEARCH } from '../sample.ts'

const SHOP = { name: 'shop', settings: 'x', events: ['run.completed' as const], users: null, digest: 'x' }
/** A page of deliveries of which each is compared with the status. */
const SEARCHED = 2 * SEARCH

export async function webhooks(database: Database, client: pg.Client): Promise<Case[]> {
  const store = deliveryStore(database)
  const list = deliveryListStore(database)
  const { rows } = await client.query(
    `select id, run_id as "runId" from webhook_deliveries where user_id = $1 order by id desc offset 50 limit 1`,
    [HEAVY_USER],
  )
  const [{ id: before, runId }] = rows
  const receivers = ['shop', 'none', 'https://other.example'].map((target) => ({
    target,
    digest: 'x',
    room: 8,
    contents: target === 'shop',
  }))
  const lists: Case[] = [HEAVY_USER, 'user7', null].flatMap((user) =>
    [
      {},
      { before },
      { status: 'delivered' as const },
      { status: 'failed' as const, before },
      { status: 'pending' as const },
      { runId },
    ].map((filter) => ({
      name: `deliveries of ${user ?? 'all users'}: ${JSON.stringify(filter)}`,
      // The rows of a user stand far from one another: each is a page of the table.
      buffers: 'status' in filter ? SEARCHED : 2 * QUICK,
      work: () => list.list(user, { limit: PAGE, ...filter }),
    })),
  )
  return [
    ...lists,
    {
      name: 'name receivers',
      buffers: ROW,
      work: () => store.nameReceivers([SHOP]),
    },
    { name: 'claim deliveries', buffers: 16 * ROW, work: () => store.claim(receivers) },
    { name: 'claim deliveries, none due', buffers: QUICK, work: () => store.claim(receivers.slice(1)) },
    {
      name: 'finish a delivery',
      buffers: ROW,
      work: () =>
        store.finish({ id: before, attempts: 1 } as ClaimedDelivery, {
          status: 'delivered',
          responseStatus: 204,
          errorCode: null,
          dueInSeconds: null,
        }),
    },
    { name: 'redeliver', buffers: ROW, work: () => list.redeliver(HEAVY_USER, before) },
    { name: 'redeliver, unknown', buffers: QUICK, work: () => list.redeliver(null, randomUUID()) },
    { name: 'switch an endpoint', buffers: ROW, work: () => store.switchEndpoint(SHOP, false) },
    { name: 'lag of deliveries', buffers: 4 * QUICK, work: () => store.lag() },
    {
      name: 'fail unclaimed deliveries',
      buffers: BATCH * ROW,
      work: () => store.failUnclaimed(BATCH),
    },
    { name: `expire ${BATCH} deliveries`, buffers: BATCH * ROW, work: () => store.expire(10, BATCH) },
    { name: 'expire deliveries, none due', buffers: BATCH * ROW, work: () => store.expire(3_650, BATCH) },
  ]
}
