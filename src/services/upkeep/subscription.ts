import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../../engine/run-engine.ts'
import type { ServiceContext } from '../context.ts'

/** The SDK keeps every row that a subscription ever saw, so it is opened anew. */
const REOPEN_MS = 10 * 60_000
/** More than a subscription reports when it is opened. */
const REMEMBERED = 20_000
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
  const seen = new Map<string, string>()

  async function follow(): Promise<void> {
    const reopen = AbortSignal.any([signal, AbortSignal.timeout(reopenMs)])
    try {
      for await (const run of engine.changes(await tag(), reopen)) {
        if (seen.get(run.runId) === run.status) continue
        seen.set(run.runId, run.status)
        const [oldest] = seen.keys()
        if (seen.size > REMEMBERED && oldest !== undefined) seen.delete(oldest)
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
