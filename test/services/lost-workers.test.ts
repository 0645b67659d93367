import t from 'tap'
import type { RunSnapshot } from '../../src/engine/run-engine.ts'
import { startService } from '../support/service.ts'
import { ownSweeper, storeRun } from './own-sweeper.ts'
import { query } from './rows.ts'

t.test(
  'a run whose worker was lost ends as cancelled when a cancel was requested, and else as failed',
  async (t) => {
    const service = await startService(t)
    const cancelled = { cancel_requested_at: 'now()' }
    const missed = { missed_at: `now() - interval '2 minutes'` }
    /** The answer of the engine about a run. */
    const lost = (runId: string): RunSnapshot => ({
      runId,
      status: 'failed',
      failureCode: 'worker_lost',
      tags: [],
      createdAt: new Date(),
    })
    const { sweep } = ownSweeper(service, {
      ...service.app.engine,
      get: async (runId) => (runId.endsWith('unknown') ? undefined : lost(runId)),
    })
    await storeRun(service, 'run_told')
    await storeRun(service, 'run_told_and_cancelled', cancelled)
    await storeRun(service, 'run_unknown', missed)
    await storeRun(service, 'run_cancelled_and_unknown', { ...cancelled, ...missed })
    await sweep()
    t.same(await query(service, 'select run_id, status, error_code from runs order by run_id'), [
      { run_id: 'run_cancelled_and_unknown', status: 'cancelled', error_code: null },
      { run_id: 'run_told', status: 'failed', error_code: 'worker_lost' },
      { run_id: 'run_told_and_cancelled', status: 'cancelled', error_code: null },
      { run_id: 'run_unknown', status: 'failed', error_code: 'worker_lost' },
    ])
  },
)
