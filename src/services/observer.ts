import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import { type ServiceContext, turnOf } from './context.ts'
import type { Finalizer } from './finalizer.ts'

export interface Observer {
  /** Follows this instance's runs until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void>
  /** Called when a run of this instance begins to execute. */
  onRunning(listener: (runId: string) => void): void
}

/** The SDK keeps every row that a subscription ever saw, so it is opened anew. */
const REOPEN_MS = 10 * 60_000
const PAUSE_MS = 1_000

/**
 * Makes it fast: one realtime subscription per instance to its own tag. What it misses, `check_at` and the
 * sweeper find.
 */
export function observer({ stores, engine, log, tags }: ServiceContext, finalizer: Finalizer): Observer {
  const listeners: Array<(runId: string) => void> = []

  async function notice(run: RunSummary): Promise<void> {
    const turnId = turnOf(run.tags)
    if (turnId === undefined) return
    try {
      if (isFinished(run.status)) await finalizer.settle(turnId, run.runId)
      else if (run.status === 'running') {
        await stores.turns.markRunning(turnId, run.runId, run.startedAt ?? null)
        for (const listener of listeners) listener(run.runId)
      }
    } catch (error) {
      log.warn({ err: error, turnId, runId: run.runId }, 'the sweeper will look at the run again')
    }
  }

  async function follow(signal: AbortSignal): Promise<void> {
    const reopen = AbortSignal.any([signal, AbortSignal.timeout(REOPEN_MS)])
    // Rows that an earlier subscription reported come again; only what changed is worth a statement.
    const seen = new Map<string, string>()
    try {
      for await (const run of engine.changes(tags.instance, reopen)) {
        if (seen.get(run.runId) === run.status) continue
        seen.set(run.runId, run.status)
        void notice(run)
      }
    } catch (error) {
      if (reopen.aborted) return
      log.warn({ err: error }, 'the subscription to the run engine broke')
    }
  }

  return {
    async watch(signal) {
      while (!signal.aborted) {
        await follow(signal)
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
        // Events may have been missed meanwhile.
        if (!signal.aborted) await stores.sweeps.checkAllNow().catch(() => {})
      }
    },
    onRunning: (listener) => listeners.push(listener),
  }
}
