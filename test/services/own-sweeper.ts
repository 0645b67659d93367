import type { ServiceContext } from '../../src/services/context.ts'
import { finalizer } from '../../src/services/end/finalizer.ts'
import { dispatches } from '../../src/services/start/dispatches.ts'
import { resolver } from '../../src/services/start/resolver.ts'
import { type Sweeper, sweeper } from '../../src/services/upkeep/sweeper.ts'
import type { Service } from '../support/service.ts'
import { query } from './rows.ts'

/** A sweeper of the test, in the place of the service's own sweeper, which claims no rows from then on. */
export function ownSweeper(service: Service, engine: ServiceContext['engine'] = service.app.engine): Sweeper {
  const stores = { ...service.app.stores, sweeps: { ...service.app.stores.sweeps } }
  service.app.stores.sweeps.claimTurns = async () => []
  service.app.stores.sweeps.claimRuns = async () => []
  const context: ServiceContext = {
    stores,
    engine,
    log: { info() {}, warn() {}, error() {} },
    tags: { service: async () => 'service_test', instance: 'instance_test' },
    settings: { ttlSeconds: 60, maxDurationSeconds: 60, retentionDays: 1, largePayloads: false },
  }
  return sweeper(
    context,
    resolver(context, dispatches(stores.turns), { go: async () => undefined }),
    finalizer(context),
  )
}

/** Stores a row for a run that was started some time ago. */
export async function storeRun(
  service: Service,
  runId: string,
  columns: Record<string, string> = {},
): Promise<void> {
  const values = {
    status: `'queued'`,
    check_at: 'now()',
    deadline_at: `now() + interval '1 hour'`,
    ...columns,
  }
  const names = Object.keys(values).join(', ')
  await query(
    service,
    `with turn as (
       insert into turns (id, user_id, state, run_id) values (gen_random_uuid(), 'alice', 'started', '${runId}') returning id)
     insert into runs (id, turn_id, run_id, user_id, ${names})
     select id, id, '${runId}', 'alice', ${Object.values(values).join(', ')} from turn`,
  )
}
