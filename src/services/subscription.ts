import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../engine/run-engine.ts'
import type { ServiceContext } from './context.ts'

/** The SDK keeps every row that a subscription ever saw, so it is opened anew. */
const REOPEN_MS = 10 * 60_000
/** A subscription reports runs of this age when it is opened. */
const REPORTED_MS = 2 * 60 * 60_000
const PAUSE_MS = 1_000

/**
 * Tells of every change of the runs with a tag, wherever they were started, within a fraction of a second, until
 * `signal` aborts. What is missed while a subscription is broken, the next one begins with.
 */
export async function subscribe(
  { engine, log }: Pick<ServiceContext, 'engine' | 'log'>,
  tag: () => Promise<string>,
  onChange: (run: RunSummary) => void,
  signal: AbortSignal,
  { reopenMs } = { reopenMs: REOPEN_MS },
): Promise<void> {
  /** Rows that an earlier subscription reported come again; only what changed is told. */
  const seen = new Map<string, { status: string; createdAt: number }>()

  async function follow(): Promise<void> {
    const reopen = AbortSignal.any([signal, AbortSignal.timeout(reopenMs)])
    const oldest = Date.now() - REPORTED_MS
    for (const [runId, { createdAt }] of seen) if (createdAt < oldest) seen.delete(runId)
    try {
      for await (const run of engine.changes(await tag(), reopen)) {
        if (seen.get(run.runId)?.status === run.status) continue
        seen.set(run.runId, { status: run.status, createdAt: run.createdAt.getTime() })
        onChange(run)
      }
    } catch (error) {
      if (reopen.aborted) return
      log.warn({ err: error }, 'the subscription to the run engine broke')
    }
  }

  while (!signal.aborted) {
    await follow()
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
  }
}
