import { isEngineAway, isEngineBusy } from '../../engine/engine-error.ts'
import type { RunSnapshot, RunSummary } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import type { DueRun, DueTurn } from '../../stores/sweeps.ts'
import type { ServiceContext } from '../context.ts'
import type { Finalizer } from '../end/finalizer.ts'
import type { Resolver } from '../start/resolver.ts'
import { inLanes } from './lanes.ts'
import { patience } from './patience.ts'

export interface Sweeper {
  /** Processes one batch of due turns and runs. @returns whether more may be due */
  sweep(): Promise<boolean>
}

/** Rows of one claim. */
export const SWEEP_BATCH = 500
/** From this many due runs on, the sweeper reads pages of the engine's list instead of single runs. */
const LIST_FROM = 4
/** The sweeper reads at most one page for each group of this many due runs. */
const DUE_PER_PAGE = 4
const PAGE = 100
const LANES = 8
/** A run counts as lost when the engine did not know it twice, so far apart. The engine's lists lag behind. */
const MISS_MS = 60_000
const PING_MS = 2_000

/**
 * Guarantees that every turn is resolved and that every run ends. Rows without an end have a `check_at`; an instance
 * claims the due rows, asks the engine about them and acts. Every instance does so for the runs of all instances.
 */
export function sweeper(context: ServiceContext, resolver: Resolver, finalizer: Finalizer): Sweeper {
  const { stores, engine, log, tags } = context
  /** Whether the engine is away. Until it answers, the sweeper processes only runs whose deadline is over. */
  let away = false
  const giveWay = patience()

  async function resolveTurn(turn: DueTurn): Promise<void> {
    if (away) return // The turn stays due, because only the engine knows whether it has a run for the turn.
    try {
      const run = await resolver.resolve(turn)
      if (run !== undefined && isFinished(run.status)) await settleEnd(run.runId)
    } catch (error) {
      noteFailure(error, { turnId: turn.turnId })
    }
  }

  async function settleEnd(runId: string): Promise<void> {
    const run = await engine.get(runId, 'sweep')
    if (run !== undefined) await finalizer.settle(runId, run, { purpose: 'end' })
  }

  /** @returns false when the run is to be released, because another instance may be able to process it now */
  async function processRun(due: DueRun, listed: RunSummary | undefined): Promise<boolean> {
    try {
      if (away) return await endWithoutEngine(due)
      if (isFinished(due.status)) await stopFinished(due)
      else await check(due, listed)
      return true
    } catch (error) {
      noteFailure(error, { runId: due.runId })
      if (isEngineBusy(error)) return false
      return endWithoutEngine(due).catch((cause: unknown) => {
        noteFailure(cause, { runId: due.runId })
        return true
      })
    }
  }

  /** Ends a run whose deadline is over while the engine is away. Later the sweeper cancels the run at the engine. */
  async function endWithoutEngine(due: DueRun): Promise<boolean> {
    if (isFinished(due.status)) return true
    if (!due.overdue) return !away
    await finalizer.fail(due.runId, 'timed_out', { stop: true })
    return true
  }

  /** Cancels at the engine a run whose end is stored already. */
  async function stopFinished({ runId }: DueRun): Promise<void> {
    await engine.cancel(runId, 'sweep')
    await stores.sweeps.noteStopped(runId)
  }

  async function check(due: DueRun, listed: RunSummary | undefined): Promise<void> {
    const { runId, cancelRequested, overdue } = due
    if (cancelRequested) await engine.cancel(runId, 'sweep')
    const goesOn = listed !== undefined && !isFinished(listed.status)
    if (goesOn && !cancelRequested && !overdue) return observe(due, listed)
    const run = await engine.get(runId, 'sweep')
    if (run === undefined) return missed(due)
    if (await finalizer.settle(runId, run, { overdue, purpose: 'end' })) return
    if (!overdue) return observe(due, run)
    // The end is stored before the engine stops the run. Else the observer could store it as a cancel.
    await finalizer.fail(runId, 'timed_out', { readable: true, stop: true })
    await stopFinished(due)
  }

  async function observe(due: DueRun, run: RunSummary | RunSnapshot): Promise<void> {
    if (due.missedAt !== null) await stores.sweeps.noteFound(due.runId)
    if (run.status === 'running' && due.status === 'queued')
      await stores.ends.markRunning(due.runId, run.startedAt ?? null)
  }

  async function missed({ runId, missedAt, overdue }: DueRun): Promise<void> {
    const twice = missedAt !== null && Date.now() - missedAt.getTime() >= MISS_MS
    if (twice || overdue) await finalizer.fail(runId, 'worker_lost')
    else await stores.sweeps.noteMissed(runId)
  }

  function noteFailure(error: unknown, row: { turnId?: string; runId?: string }): void {
    log.warn({ err: error, ...row }, 'the sweeper could not process a due row; it stays due')
    away ||= isEngineAway(error)
  }

  /** Reads many due runs from pages of the engine's list, newest first, instead of one by one. */
  async function list(due: DueRun[]): Promise<Map<string, RunSummary>> {
    const runs = new Map<string, RunSummary>()
    const open = due.filter(({ status }) => !isFinished(status))
    if (open.length < LIST_FROM || away) return runs
    const wanted = new Set(open.map(({ runId }) => runId))
    const createdFrom = new Date(Math.min(...open.map((run) => run.createdAt.getTime())) - MISS_MS)
    let seen = 0
    try {
      for await (const run of engine.list({ tag: await tags.service(), createdFrom }, 'sweep')) {
        if (wanted.has(run.runId)) runs.set(run.runId, run)
        seen += 1
        const left = wanted.size - runs.size
        // Runs that these pages do not contain are read one by one.
        if (left === 0 || (seen % PAGE === 0 && seen / PAGE >= wanted.size / DUE_PER_PAGE)) break
      }
    } catch (error) {
      log.warn({ err: error }, 'the sweeper could not list the runs of the engine')
      away ||= isEngineAway(error)
    }
    return runs
  }

  async function isBack(): Promise<boolean> {
    try {
      await engine.ping(PING_MS)
      return true
    } catch {
      return false // The calls to the engine have logged the reason.
    }
  }

  return {
    async sweep() {
      if (away) away = !(await isBack())
      // The continuations of these turns are due at once.
      const moreExpired = await stores.actions.expire(SWEEP_BATCH)
      const turns = away ? [] : await stores.sweeps.claimTurns(SWEEP_BATCH)
      await inLanes(LANES, turns, resolveTurn)
      const due = await stores.sweeps.claimRuns(SWEEP_BATCH, { overdueOnly: away })
      const listed = await list(due)
      const unprocessed: string[] = []
      await inLanes(LANES, due, async (run) => {
        await giveWay()
        if (!(await processRun(run, listed.get(run.runId)))) unprocessed.push(run.runId)
      })
      if (unprocessed.length > 0) await stores.sweeps.release(unprocessed)
      return (
        moreExpired ||
        turns.length === SWEEP_BATCH ||
        (due.length === SWEEP_BATCH && unprocessed.length === 0)
      )
    },
  }
}
