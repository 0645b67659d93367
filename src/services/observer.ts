import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import { type ServiceContext, turnOf } from './context.ts'
import type { Finalizer } from './finalizer.ts'
import { limited } from './lanes.ts'

export interface Observer {
  /** Follows this instance's runs until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void>
  /** Called when a run of this instance begins to execute. */
  onRunning(listener: (runId: string) => void): void
}

/** The SDK keeps every row that a subscription ever saw, so it is opened anew. */
const REOPEN_MS = 10 * 60_000
/** A subscription reports runs of this age when it is opened. */
const REPORTED_MS = 2 * 60 * 60_000
const PAUSE_MS = 1_000
const LANES = 16

/**
 * Makes it fast: one realtime subscription per instance to its own tag. What it misses, `check_at` and the
 * sweeper find.
 */
export function observer(
  { stores, engine, log, tags }: ServiceContext,
  finalizer: Pick<Finalizer, 'settle'>,
  { reopenMs } = { reopenMs: REOPEN_MS },
): Observer {
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

  /** Rows that an earlier subscription reported come again; only what changed is worth a statement. */
  const seen = new Map<string, { status: string; createdAt: number }>()
  const inLine = limited(LANES)

  async function follow(signal: AbortSignal): Promise<void> {
    const reopen = AbortSignal.any([signal, AbortSignal.timeout(reopenMs)])
    const oldest = Date.now() - REPORTED_MS
    for (const [runId, { createdAt }] of seen) if (createdAt < oldest) seen.delete(runId)
    try {
      for await (const run of engine.changes(tags.instance, reopen)) {
        if (seen.get(run.runId)?.status === run.status) continue
        seen.set(run.runId, { status: run.status, createdAt: run.createdAt.getTime() })
        // What waits in line when the service ends is left to the sweeper of the next one.
        void inLine(async () => {
          if (!signal.aborted) await notice(run)
        })
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
        // The next subscription begins with what changed meanwhile.
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
      }
    },
    onRunning: (listener) => listeners.push(listener),
  }
}
