import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../../engine/run-engine.ts'
import type { ServiceContext } from '../context.ts'

/** Trigger.dev's realtime feed loses some events, so the subscription is opened again at this interval. */
const REOPEN_MS = 10 * 60_000
/** Number of runs whose last status is remembered (about 3 MB). A new subscription begins with fewer runs. */
const REMEMBERED = 20_000
const PAUSE_MS = 1_000

/**
 * Calls `onChange` for every change of the runs with a tag, within a fraction of a second, until `signal` aborts. A
 * subscription begins with the runs of the last 20 minutes, so a new one reports the changes that a broken one has
 * missed. The sweeper finds the ends of older runs.
 */
export async function subscribe(
  { engine, log }: Pick<ServiceContext, 'engine' | 'log'>,
  tag: () => Promise<string>,
  onChange: (run: RunSummary) => void,
  signal: AbortSignal,
  { reopenMs } = { reopenMs: REOPEN_MS },
): Promise<void> {
  /** The last reported status of each run. A new subscription begins with runs that were reported before. */
  const told = new Map<string, string>()

  function isNew({ runId, status }: RunSummary): boolean {
    if (told.get(runId) === status) return false
    told.set(runId, status)
    const [oldest] = told.keys()
    if (told.size > REMEMBERED && oldest !== undefined) told.delete(oldest)
    return true
  }

  async function follow(name: string): Promise<void> {
    const reopen = AbortSignal.any([signal, AbortSignal.timeout(reopenMs)])
    try {
      for await (const run of engine.changes(name, reopen)) if (isNew(run)) onChange(run)
    } catch (error) {
      if (!reopen.aborted)
        log.warn({ err: error }, 'the subscription to the run engine broke and is opened again')
    }
  }

  while (!signal.aborted) {
    const name = await tag().catch((error: unknown) => {
      log.warn({ err: error }, 'the tag to subscribe to could not be read from the database')
      return undefined
    })
    if (name !== undefined) await follow(name)
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
  }
}
