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
  /** Undefined: the run has no row (yet); rejects while the database is away. */
  progress(runId: string): Promise<RunProgress | undefined>
  /** Stores the end of the run if it has ended. */
  settle(runId: string): Promise<unknown>
  onRead(): void
}

const LOOK_MS = 60_000
const UNSEEN_MS = 1_000
/** A worker is done this soon after its last chunk, and the instance that started the run has seen it. */
const HURRY_MS = 1_000
/** The engine may take this long to answer a read. */
const ANSWER_MS = 5_000
/** A finished stream is all there: this long without another record means that none will come. */
const QUIET_MS = 2_000

/**
 * Fills the log from the engine while the run executes, and ends it when the run has ended, with what tells every
 * client how. A log that lacks a frame of a finished run is lost instead: nobody is shown a gap.
 */
export async function followRun(
  runId: string,
  log: FrameLog,
  context: FollowContext,
  signal: AbortSignal,
): Promise<void> {
  const look = () => context.progress(runId).catch(() => undefined)
  let run = await look()
  while (run?.status === 'queued') {
    log.enter('queued')
    await context.waiters.changed(runId, versionOf(run), LOOK_MS, signal)
    if (signal.aborted) return
    run = await look()
  }

  if (run === undefined || !neverRan(run)) {
    if (run !== undefined && isFinished(run.status)) log.close(run.frameCount)
    else log.enter('reading')
    const reader = read(runId, log, context, signal)
    try {
      // A run without a row was started while the database was away: its stream alone says when it is over.
      while (run === undefined ? !isLast(log.lastType) : !isFinished(run.status)) {
        const known = run === undefined ? 'unseen' : versionOf(run)
        await context.waiters.changed(runId, known, run === undefined ? UNSEEN_MS : LOOK_MS, signal)
        if (signal.aborted) return
        run = (await look()) ?? run
      }
      if (run !== undefined) log.close(run.frameCount)
      if (!(await reader.complete(run))) {
        if (signal.aborted) return
        // An engine that answers has lost the stream; one that does not may still have it.
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

/** Ended while it was queued: there is no stream, and nobody needs to ask for one. */
const neverRan = (run: RunProgress) => isFinished(run.status) && run.frameCount === 0

interface Reader {
  /** Waits for the rest of a finished run. @returns whether the log holds all of it */
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
      // Readers that make no room hold up the rest; they have their own time.
      const isQuiet = async () => !(await log.until(isThere, QUIET_MS, signal)) && !log.full
      const rest = async () => {
        if (!(await log.until(() => isThere() || log.answered, ANSWER_MS, signal))) return
        while (!isThere() && !signal.aborted && !(await isQuiet()));
      }
      await rest()
      if (!isThere() && mustHoldAll(log, run)) {
        // The read may hang where a fresh one would not.
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
 * The instance that started the run may be gone, and nobody else looks at it for a minute: whoever has seen the
 * last chunk sees to it that the turn ends.
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

/** Where nobody could count the frames of a run that broke off, those that were seen are its answer. */
function mustHoldAll(log: FrameLog, run: RunProgress | undefined): boolean {
  return run?.status === 'completed' || (run?.frameCount ?? null) !== null || log.end === 0
}

/** The part that clients take for the run's end, unless the worker has written it, and `[DONE]`. */
function endingOf(run: RunProgress | undefined, lastType: string | undefined): Buffer {
  if (run?.status === 'failed' && lastType !== 'error') {
    const errorText = run.error ?? 'The run failed.'
    return Buffer.concat([ownFrame({ type: 'error', errorText }), DONE])
  }
  if (run?.status === 'cancelled' && lastType !== 'abort')
    return Buffer.concat([ownFrame({ type: 'abort', reason: 'cancelled' }), DONE])
  return DONE
}
