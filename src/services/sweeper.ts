import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSnapshot, RunSummary } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import type { DueRun } from '../stores/sweeps.ts'
import { type ServiceContext, turnOf, turnTag } from './context.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Finalizer } from './finalizer.ts'

export interface Sweeper {
  /** Looks at due runs until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
  /** One round. @returns how many runs were due */
  sweep(): Promise<number>
}

const INTERVAL_MS = 2_000
const BATCH = 100
/** From this many due runs on, pages of the engine's list are cheaper than single questions. */
const LIST_FROM = 20
const PARALLEL = 5
/** A run counts as unknown to the engine after two misses this far apart: its lists lag. */
const MISS_MS = 60_000

/**
 * Makes it certain: every unfinished row has a `check_at`, and whoever finds it due asks the engine and acts.
 * Any instance may do it for any other's runs.
 */
export function sweeper(context: ServiceContext, dispatcher: Dispatcher, finalizer: Finalizer): Sweeper {
  const { stores, engine, log, tags } = context

  async function look(due: DueRun, listed: Map<string, RunSummary> | undefined): Promise<void> {
    try {
      if (due.status === 'abandoned') await settleAbandoned(due)
      else if (due.runId === null) await findDispatch(due)
      else await check(due, due.runId, listed?.get(due.runId))
    } catch (error) {
      log.warn({ err: error, turnId: due.turnId, runId: due.runId }, 'sweeping a run failed; it stays due')
    }
  }

  /** A dispatch that nobody finished: look it up before anything is sent, a blind second one could run twice. */
  async function findDispatch(due: DueRun): Promise<void> {
    const found = await findByTurn(due.turnId)
    if (found !== undefined) {
      const recorded = await stores.turns.record(due.turnId, found.runId)
      if (recorded?.cancelRequested) await engine.cancel(found.runId)
      if (isFinished(found.status)) await finalizer.settle(due.turnId, found.runId)
      return
    }
    const [pending] = await stores.turns.pending([due.turnId])
    if (pending === undefined || pending.runId !== null || pending.status !== 'dispatching') return
    if (due.keyed && !due.overdue && !due.cancelRequested) await dispatcher.redispatch(pending)
    else await stores.turns.withdraw(due.turnId, 'gone')
  }

  /** The caller was told 503: whatever the engine made of it is stopped, and only a key's row is kept. */
  async function settleAbandoned(due: DueRun): Promise<void> {
    const found = await findByTurn(due.turnId)
    if (found !== undefined) {
      // First the key, then the run: a retry that comes in between must not find the cancelled run.
      if (!(await stores.sweeps.settleAbandoned(due.turnId))) return
      await engine.cancel(found.runId)
    }
    if (!due.keyed) await stores.turns.withdraw(due.turnId, 'gone')
  }

  async function check(due: DueRun, runId: string, listed: RunSummary | undefined): Promise<void> {
    if (due.cancelRequested) await engine.cancel(runId)
    if (listed !== undefined && !isFinished(listed.status) && !due.cancelRequested && !due.overdue) {
      if (listed.status === 'running')
        await stores.turns.markRunning(due.turnId, runId, listed.startedAt ?? null)
      return
    }
    const run = await ask(due, runId)
    if (run === 'away') {
      if (due.overdue) await finalizer.fail(due.turnId, runId, 'timed_out')
      return
    }
    if (run === undefined) return missed(due, runId)
    if (await finalizer.settle(due.turnId, runId, run)) return
    if (due.overdue) {
      await engine.cancel(runId)
      await finalizer.fail(due.turnId, runId, 'timed_out')
    } else if (run.status === 'running' && due.status !== 'running') {
      await stores.turns.markRunning(due.turnId, runId, run.startedAt ?? null)
    }
  }

  async function ask(due: DueRun, runId: string): Promise<RunSnapshot | undefined | 'away'> {
    try {
      return await engine.get(runId, 'sweep')
    } catch (error) {
      if (!due.overdue) throw error
      return 'away'
    }
  }

  async function missed(due: DueRun, runId: string): Promise<void> {
    const twice = due.missedAt !== null && Date.now() - due.missedAt.getTime() >= MISS_MS
    if (twice || due.overdue) await finalizer.fail(due.turnId, runId, 'worker_lost')
    else await stores.sweeps.noteMissed(due.turnId)
  }

  async function findByTurn(turnId: string): Promise<RunSummary | undefined> {
    for await (const run of engine.list({ tag: turnTag(turnId) })) {
      if (turnOf(run.tags) === turnId) return run
    }
    return undefined
  }

  /** Many due runs: one pass over the engine's list instead of a question each. */
  async function list(due: DueRun[]): Promise<Map<string, RunSummary> | undefined> {
    if (due.length < LIST_FROM) return undefined
    const createdFrom = new Date(Math.min(...due.map((run) => run.createdAt.getTime())) - MISS_MS)
    const runs = new Map<string, RunSummary>()
    for await (const run of engine.list({ tag: await tags.service(), createdFrom })) runs.set(run.runId, run)
    return runs
  }

  async function sweep(): Promise<number> {
    const due = await stores.sweeps.claim(BATCH)
    const listed = await list(due)
    const queue = [...due]
    const work = async () => {
      for (let run = queue.shift(); run !== undefined; run = queue.shift()) await look(run, listed)
    }
    await Promise.all(Array.from({ length: PARALLEL }, work))
    return due.length
  }

  return {
    sweep,
    async run(signal) {
      while (!signal.aborted) {
        const count = await sweep().catch((error: unknown) => {
          log.warn({ err: error }, 'the sweep failed')
          return 0
        })
        if (count < BATCH) await sleep(INTERVAL_MS, undefined, { signal }).catch(() => {})
      }
    },
  }
}
