import type { RunSummary } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import type { ServiceContext } from '../context.ts'
import type { Finalizer } from '../end/finalizer.ts'
import { turnOf } from '../run-tags.ts'
import { limited } from './lanes.ts'
import { subscribe } from './subscription.ts'
import type { UnstoredRuns } from './unstored-runs.ts'

export interface Observer {
  /** Follows this instance's runs until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void>
  /** Called when a run of this instance begins to execute. */
  onRunning(listener: (runId: string) => void): void
}

/** The most events of completed runs that are handled at the same time, and the most events of other runs. */
const LANES = 16

/**
 * Learns of the ends of this instance's runs within a fraction of a second, through one subscription to the instance's
 * tag. The sweeper finds the ends that the subscription misses.
 */
export function observer(
  context: ServiceContext,
  finalizer: Pick<Finalizer, 'settle'>,
  unstored: Pick<UnstoredRuns, 'stopIfUnwanted'>,
  options?: { reopenMs: number },
): Observer {
  const { stores, log, tags } = context
  const listeners: Array<(runId: string) => void> = []
  const completed = limited(LANES)
  const others = limited(LANES)

  async function notice(run: RunSummary): Promise<void> {
    const turnId = turnOf(run.tags)
    if (turnId === undefined) return
    try {
      if (isFinished(run.status)) await finalizer.settle(run.runId)
      else if (run.status === 'running') await noteRunning(run, turnId)
    } catch (error) {
      log.warn(
        { err: error, turnId, runId: run.runId },
        'the observer could not store an event of a run; the sweeper stores it',
      )
    }
  }

  async function noteRunning(run: RunSummary, turnId: string): Promise<void> {
    const { runId } = run
    const startedAt = run.startedAt ?? null
    if (!(await stores.ends.markRunning(runId, startedAt))) {
      // The run began before its id was recorded, or its row has the status `running` already, or the run has no row.
      const recorded = await stores.turns.record(turnId, runId)
      if (recorded.state === 'recorded') await stores.ends.markRunning(runId, startedAt)
      else await unstored.stopIfUnwanted({ runId, turnId }, recorded)
    }
    for (const listener of listeners) listener(runId)
  }

  return {
    watch(signal) {
      const onChange = (run: RunSummary) => {
        // Reading the partial answer of a failed run takes seconds. Completed runs must not wait for that.
        const inLine = run.status === 'completed' ? completed : others
        void inLine(async () => {
          if (!signal.aborted) await notice(run)
        })
      }
      return subscribe(context, async () => tags.instance, onChange, signal, options)
    },
    onRunning: (listener) => listeners.push(listener),
  }
}
