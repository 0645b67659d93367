import { setTimeout as sleep } from 'node:timers/promises'
import type { RunEngine } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import { versionOf, type Waiters } from '../services/read/waiters.ts'
import type { RunProgress } from '../stores/runs.ts'
import { DONE, ownFrame } from './frame.ts'
import type { FrameLog } from './frame-log.ts'
import { isLast, readUpstream } from './upstream.ts'

export interface FollowContext {
  engine: Pick<RunEngine, 'chunks' | 'get'>
  waiters: Pick<Waiters, 'changed'>
  /** @returns undefined while the run has no row; rejects while the database is away */
  progress(runId: string): Promise<RunProgress | undefined>
  /** Stores the end of the run if it has ended. */
  settle(runId: string): Promise<unknown>
  onRead(): void
}

/** Pause between two reads of the row of an unfinished run when no change of the run has been announced. */
const LOOK_MS = 60_000
/** The same for a run without a row. */
const UNSEEN_MS = 1_000
/** A run usually ends, and its end is usually stored, within this time after its last chunk. */
const HURRY_MS = 1_000
/** Time that the engine may take to answer a read. */
const ANSWER_MS = 5_000
/** The stream of a finished run is complete on the engine: after this long without a record none will come. */
const QUIET_MS = 2_000

/**
 * Fills the log from the engine while the run executes. When the run has ended, ends the log with parts that tell
 * clients how the run ended. A log that lacks a frame of a finished run is lost instead, so no viewer sees a gap.
 */
export async function followRun(
  runId: string,
  log: FrameLog,
  context: FollowContext,
  signal: AbortSignal,
): Promise<void> {
  const progressNow = () => context.progress(runId).catch(() => undefined)
  let run = await progressNow()
  while (run?.status === 'queued') {
    log.enter('queued')
    await context.waiters.changed(runId, versionOf(run), LOOK_MS, signal)
    if (signal.aborted) return
    run = await progressNow()
  }

  if (run === undefined || !neverRan(run)) {
    if (run !== undefined && isFinished(run.status)) log.close(run.frameCount)
    else log.enter('reading')
    const reader = read(runId, log, context, signal)
    try {
      // A run without a row was started while the database was away: only its stream says when it has ended.
      while (run === undefined ? !isLast(log.lastType) : !isFinished(run.status)) {
        const known = run === undefined ? 'unseen' : versionOf(run)
        await context.waiters.changed(runId, known, run === undefined ? UNSEEN_MS : LOOK_MS, signal)
        if (signal.aborted) return
        run = (await progressNow()) ?? run
      }
      if (run !== undefined) log.close(run.frameCount)
      if (!(await reader.complete(run))) {
        if (signal.aborted) return
        // An engine that answers has lost the stream. An engine that does not answer may still have it.
        const loss = await context.engine.get(runId).then(
          () => 'expired' as const,
          () => 'away' as const,
        )
        return log.lose(loss)
      }
    } finally {
      reader.stop()
    }
  }
  if (!signal.aborted) log.finish(endingOf(run, log.lastType))
}

/** A run that ended while it was queued has no stream. */
const neverRan = (run: RunProgress) => isFinished(run.status) && run.frameCount === 0

interface Reader {
  /** Waits for the remaining frames of a finished run. @returns whether the log holds all of them */
  complete(run: RunProgress | undefined): Promise<boolean>
  stop(): void
}

function read(runId: string, log: FrameLog, context: FollowContext, signal: AbortSignal): Reader {
  let stop: AbortController
  const open = () => {
    const own = new AbortController()
    stop = own
    log.answer(false)
    const either = AbortSignal.any([signal, own.signal])
    void readUpstream(context.engine, runId, log, either, context.onRead).then((kept) => {
      if (kept) return hurry(runId, context, either)
      if (log.lost === undefined) log.lose('expired')
    })
  }
  open()
  return {
    async complete(run) {
      const isThere = () => holdsAll(log, run) || log.lost !== undefined
      // While the log is full, the read waits for viewers; that silence is not the engine's.
      const isQuiet = async () => !(await log.until(isThere, QUIET_MS, signal)) && !log.full
      const rest = async () => {
        if (!(await log.until(() => isThere() || log.answered, ANSWER_MS, signal))) return
        while (!isThere() && !signal.aborted && !(await isQuiet()));
      }
      await rest()
      if (!isThere() && mustHoldAll(log, run)) {
        // The read may hang where a new read would not.
        stop.abort()
        open()
        await rest()
      }
      return log.lost === undefined && (holdsAll(log, run) || !mustHoldAll(log, run))
    },
    stop: () => stop.abort(),
  }
}

/**
 * Stores the end of the run, from the instance that has read its last chunk. The instance that started the run may
 * have died, and the sweeper would ask for the run up to a minute later.
 */
async function hurry(runId: string, context: FollowContext, signal: AbortSignal): Promise<void> {
  for (let pause = HURRY_MS; ; pause *= 2) {
    await sleep(pause, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    const run = await context.progress(runId).catch(() => undefined)
    if (run !== undefined && isFinished(run.status)) return
    if (run !== undefined) await context.settle(runId).catch(() => {})
  }
}

function holdsAll(log: FrameLog, run: RunProgress | undefined): boolean {
  return log.complete || ((run?.frameCount ?? null) === null && isLast(log.lastType))
}

/**
 * Whether the log has to hold all frames of the run. A run that broke off and whose frames the service could not
 * count is shown with the frames that were read.
 */
function mustHoldAll(log: FrameLog, run: RunProgress | undefined): boolean {
  return run?.status === 'completed' || (run?.frameCount ?? null) !== null || log.end === 0
}

/** The part by which clients know how the run ended, unless the worker has written it, and `[DONE]`. */
function endingOf(run: RunProgress | undefined, lastType: string | undefined): Buffer {
  if (run?.status === 'failed' && lastType !== 'error') {
    const errorText = run.error ?? 'The run failed.'
    return Buffer.concat([ownFrame({ type: 'error', errorText }), DONE])
  }
  if (run?.status === 'cancelled' && lastType !== 'abort')
    return Buffer.concat([ownFrame({ type: 'abort', reason: 'cancelled' }), DONE])
  return DONE
}
