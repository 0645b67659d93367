import type pg from 'pg'
import type { Database } from '../../src/stores/database.ts'
import { turnStore } from '../../src/stores/turns.ts'
import { actions } from './cases/actions.ts'
import { feed } from './cases/feed.ts'
import { lists } from './cases/lists.ts'
import { reads } from './cases/reads.ts'
import { LIMITS, newTurn, starts } from './cases/starts.ts'
import { deletions, ends, upkeep } from './cases/upkeep.ts'
import { webhooks } from './cases/webhooks.ts'
import { HEAVY_USER } from './fill.ts'
import { type Case, sampleOf } from './sample.ts'

/** Every call of the stores that has a statement of its own; what writes comes last. */
export async function casesOf(database: Database & { client: pg.Client }): Promise<Case[]> {
  const { client } = database
  const heavy = await sampleOf(client, HEAVY_USER)
  const small = await sampleOf(client, 'user7')
  const { rows: busy } = await client.query(
    `select conversation_id as id, array_agg(run_id) as "runIds" from runs where user_id = $1 and status = 'running' group by 1`,
    [HEAVY_USER],
  )
  const fresh = Array.from({ length: 60 }, () => newTurn({ userId: 'starter' }))
  for (const turn of fresh) await turnStore(database, LIMITS).start(turn)
  return [
    ...reads(
      database,
      heavy,
      small,
      busy.flatMap(({ runIds }) => runIds),
    ),
    ...lists(database, heavy, small),
    ...starts(
      database,
      heavy,
      busy.map(({ id }) => id),
      fresh.map(({ turnId }) => turnId),
    ),
    ...ends(
      database,
      busy.flatMap(({ runIds }) => runIds),
    ),
    ...upkeep(database, client),
    ...(await webhooks(database, client)),
    ...(await feed(database, client)),
    ...(await actions(database, client)),
    ...(await deletions(database, client)),
  ]
}
