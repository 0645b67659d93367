import type { RunSnapshot, RunSummary } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import { Problem } from '../errors.ts'
import type { DueRun } from '../stores/sweeps.ts'
import { runsTagged, type ServiceContext, turnTag } from './context.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Finalizer } from './finalizer.ts'
import { inLanes } from './lanes.ts'

export interface Sweeper {
  /** Looks at the due runs. @returns how many there were */
  sweep(): Promise<number>
}

export const SWEEP_BATCH = 500
/** From this many due runs on, pages of the engine's list are cheaper than single questions. */
const LIST_FROM = 20
/** A page holds a hundred runs; it is worth asking for while it may answer for this many due ones. */
const DUE_PER_PAGE = 4
const PAGE = 100
const LANES = 8
/** A run counts as unknown to the engine after two misses this far apart: its lists lag. */
const MISS_MS = 60_000
const PING_MS = 2_000
/** Between the looks at an abandoned turn whose time is over, while the engine is away. */
const LAST_LOOK_SECONDS = 60

/**
 * Makes it certain: every unfinished row has a `check_at`, and whoever finds it due asks the engine and acts.
 * Any instance may do it for any other's runs.
 */
export function sweeper(context: ServiceContext, dispatcher: Dispatcher, finalizer: Finalizer): Sweeper {
  const { stores, engine, log, tags } = context
  /** The engine did not answer: until it does, only what is overdue is seen to. */
  let away = false
  /** In this round the engine has said that runs are lost. */
  let lost = false
  /** Turns of this round for which the engine could not be asked. */
  let unasked: string[] = []

  async function look(due: DueRun, listed: Map<string, RunSummary> | undefined): Promise<void> {
    try {
      if (away) await giveUp(due)
      else if (due.status === 'abandoned') await settleAbandoned(due)
      else if (due.runId === null) await findDispatch(due)
      else await check(due, due.runId, listed?.get(due.runId))
    } catch (error) {
      log.warn({ err: error, turnId: due.turnId, runId: due.runId }, 'sweeping a run failed; it stays due')
      if (!isEngineAway(error)) return
      away = true
      await giveUp(due)
    }
  }

  /** The engine is away: a turn whose time is over ends all the same, any other is left to who can ask. */
  async function giveUp(due: DueRun): Promise<void> {
    if (!due.overdue) return void unasked.push(due.turnId)
    // Its last look: there has to be one that the engine answers.
    if (due.status === 'abandoned') return stores.sweeps.checkSoon(due.turnId, LAST_LOOK_SECONDS)
    // Nobody was told of a run: its key, if it has one, begins anew.
    if (due.runId === null) await stores.turns.withdraw(due.turnId, 'abandoned')
    else await finalizer.fail(due.turnId, due.runId, 'timed_out')
  }

  /** A dispatch that nobody finished: with a key its caller will ask for it; without, nobody knows of it. */
  async function findDispatch(due: DueRun): Promise<void> {
    const [pending] = await stores.turns.pending([due.turnId])
    if (pending === undefined || pending.runId !== null || pending.status !== 'dispatching') return
    const send = due.idempotencyKey !== null && !due.overdue
    const runId = await dispatcher.redispatch(pending, { send, kind: 'sweep' })
    if (runId !== undefined)
      await finalizer.settle(due.turnId, runId, await engine.get(runId, 'sweep'), { kind: 'settle' })
  }

  /**
   * The caller was told 503. A run that goes on all the same is stopped, and only a key's row is kept. One that
   * has ended by itself is left for the key: it must not run twice.
   */
  async function settleAbandoned(due: DueRun): Promise<void> {
    const runs = await runsTagged(engine, turnTag(due.turnId), 'sweep')
    const live = runs.filter(({ status }) => !isFinished(status)).map(({ runId }) => runId)
    if (live.length > 0) {
      // First the key, then the run: a retry that comes in between must not find the cancelled run.
      if (!(await stores.sweeps.giveUp(due.turnId, live))) return
      for (const runId of live) await engine.cancel(runId, 'sweep')
    }
    if (due.idempotencyKey === null) await stores.turns.withdraw(due.turnId, 'gone')
  }

  async function check(due: DueRun, runId: string, listed: RunSummary | undefined): Promise<void> {
    if (due.cancelRequested) await engine.cancel(runId, 'sweep')
    if (listed !== undefined) await found(due)
    const goesOn = listed !== undefined && !isFinished(listed.status)
    if (goesOn && !due.cancelRequested && !due.overdue) return observe(due, runId, listed)
    const run = await engine.get(runId, 'sweep')
    if (run === undefined) return missed(due, runId)
    await found(due)
    // The engine has lost its runs: no need to find that out one by one.
    if (run.failureCode === 'worker_lost') lost = true
    const { overdue } = due
    if (await finalizer.settle(due.turnId, runId, run, { overdue, kind: 'settle' })) return
    if (!overdue) return observe(due, runId, run)
    await engine.cancel(runId, 'sweep')
    await finalizer.fail(due.turnId, runId, 'timed_out', { readable: true })
  }

  async function observe(due: DueRun, runId: string, run: RunSummary | RunSnapshot): Promise<void> {
    if (run.status === 'running' && due.status !== 'running')
      await stores.turns.markRunning(due.turnId, runId, run.startedAt ?? null)
  }

  async function found({ turnId, missedAt }: DueRun): Promise<void> {
    if (missedAt !== null) await stores.sweeps.noteFound(turnId)
  }

  async function missed(due: DueRun, runId: string): Promise<void> {
    const twice = due.missedAt !== null && Date.now() - due.missedAt.getTime() >= MISS_MS
    if (twice || due.overdue) await finalizer.fail(due.turnId, runId, 'worker_lost')
    else await stores.sweeps.noteMissed(due.turnId)
  }

  /** Many due runs: pages of the engine's list, newest first, instead of a question each. */
  async function list(due: DueRun[]): Promise<Map<string, RunSummary> | undefined> {
    if (due.length < LIST_FROM || away) return undefined
    const createdFrom = new Date(Math.min(...due.map((run) => run.createdAt.getTime())) - MISS_MS)
    const runs = new Map<string, RunSummary>()
    for await (const run of engine.list({ tag: await tags.service(), createdFrom })) {
      runs.set(run.runId, run)
      if (runs.size >= (due.length / DUE_PER_PAGE) * PAGE) break
    }
    return runs
  }

  async function isBack(): Promise<boolean> {
    try {
      await engine.ping(PING_MS)
      return true
    } catch {
      return false // Why is logged by those who need it.
    }
  }

  return {
    async sweep() {
      if (away && (await isBack())) {
        away = false
        // Its events were missed.
        await stores.sweeps.checkAllNow()
      }
      const due = await stores.sweeps.claim(SWEEP_BATCH, { overdueOnly: away })
      const listed = await list(due).catch((error: unknown) => {
        log.warn({ err: error }, 'the runs could not be listed')
        away ||= isEngineAway(error)
        return undefined
      })
      lost = false
      unasked = []
      await inLanes(LANES, due, (run) => look(run, listed))
      if (unasked.length > 0) await stores.sweeps.giveBack(unasked)
      if (lost) await stores.sweeps.checkAllNow()
      return due.length
    },
  }
}

const isEngineAway = (error: unknown): boolean =>
  error instanceof Problem && error.code === 'engine_unavailable'
