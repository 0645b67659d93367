import type { RunSummary } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import type { Adoption } from './adoption.ts'
import { type ServiceContext, turnOf } from './context.ts'
import type { Finalizer } from './finalizer.ts'
import { limited } from './lanes.ts'
import { subscribe } from './subscription.ts'

export interface Observer {
  /** Follows this instance's runs until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void>
  /** Called when a run of this instance begins to execute. */
  onRunning(listener: (runId: string) => void): void
}

const LANES = 16

/**
 * Makes it fast: one realtime subscription per instance to its own tag. What it misses, `check_at` and the
 * sweeper find.
 */
export function observer(
  context: ServiceContext,
  finalizer: Pick<Finalizer, 'settle'>,
  adoption: Pick<Adoption, 'stray'>,
  options?: { reopenMs: number },
): Observer {
  const { stores, log, tags } = context
  const listeners: Array<(runId: string) => void> = []

  async function notice(run: RunSummary): Promise<void> {
    const turnId = turnOf(run.tags)
    if (turnId === undefined) return
    try {
      if (isFinished(run.status)) await finalizer.settle(turnId, run.runId)
      else if (run.status === 'running') {
        if (!(await stores.turns.markRunning(turnId, run.runId, run.startedAt ?? null)))
          await adoption.stray({ turnId, runId: run.runId })
        for (const listener of listeners) listener(run.runId)
      }
    } catch (error) {
      log.warn({ err: error, turnId, runId: run.runId }, 'the sweeper will look at the run again')
    }
  }

  const inLine = limited(LANES)

  return {
    watch(signal) {
      const onChange = (run: RunSummary) => {
        // What waits in line when the service ends is left to the sweeper of the next one.
        void inLine(async () => {
          if (!signal.aborted) await notice(run)
        })
      }
      return subscribe(context, async () => tags.instance, onChange, signal, options)
    },
    onRunning: (listener) => listeners.push(listener),
  }
}
