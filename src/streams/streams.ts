import { problem } from '../errors.ts'
import { type FollowContext, followRun } from './follow-run.ts'
import { FrameLog } from './frame-log.ts'
import { beyondTheEnd } from './stream-position.ts'
import { Viewer, type ViewerOptions } from './viewer.ts'
import { CLOCK_SETTINGS, type ClockSettings, ViewerClock } from './viewer-clock.ts'

export interface Streams {
  /**
   * Opens a view of the run's stream from frame `from` on. The route has checked that the caller may read the run.
   * The position is checked before anything is sent; the caller of a run that has just been started (`fresh`) is
   * never refused.
   * @throws Problem `invalid_stream_position` (position beyond the end), `stream_expired` (the engine no longer has
   *   the stream), `engine_unavailable`, and what `assertOpen` throws
   */
  view(runId: string, options: ViewerOptions, signal: AbortSignal): Promise<Viewer>
  /** @throws Problem `shutting_down` once the service drains, `too_many_streams` when the user has too many open */
  assertOpen(userId: string): void
  /** Cuts all viewers and refuses new ones: their clients resume on another instance. */
  drain(): void
  /** Drains, and resolves when no viewer and no read is left. */
  close(): Promise<void>
  stats(): StreamStats
}

export interface StreamStats {
  viewers: number
  /** Number of runs that this instance follows. */
  logs: number
  /** Number of reads of the engine's streams since the start of this instance. */
  reads: number
}

/** After this long without a frame, the log holds all frames that a live stream has. */
const DRAINED_MS = 500
/** Time that the engine may take to begin a stream that exists. */
const BEGIN_MS = 5_000
/** Time to wait for the first frame of a running worker; after that the viewer gets its headers without one. */
const UNWRITTEN_MS = 1_000
/** After this long without news it is known what the engine still has of the stream of a finished run. */
const OVER_MS = 20_000

interface Followed {
  log: FrameLog
  stop: AbortController
  done: Promise<void>
}

/** The streams that this instance shows: one log and one read of the engine for each run, shared by its viewers. */
export function streams(
  context: Omit<FollowContext, 'onRead'> & { log: { error(object: object, message: string): void } },
  settings: Partial<ClockSettings> = {},
): Streams {
  const clock = new ViewerClock<Viewer>({ ...CLOCK_SETTINGS, ...settings })
  const followed = new Map<string, Followed>()
  const ending = new Set<Promise<void>>()
  let draining = false
  let reads = 0

  function follow(runId: string): Followed {
    const log = new FrameLog()
    const stop = new AbortController()
    const onRead = () => reads++
    const done = followRun(runId, log, { ...context, onRead }, stop.signal).catch((error: unknown) => {
      context.log.error({ err: error, runId }, 'a stream cannot be followed')
      log.lose('away')
    })
    const run = { log, stop, done }
    followed.set(runId, run)
    return run
  }

  /** A log that is lost, or that has dropped the frame at `from`, serves its present viewers only. */
  function logFor(runId: string, from: number): Followed {
    const run = followed.get(runId)
    return run === undefined || run.log.lost || from < run.log.first ? follow(runId) : run
  }

  function add(runId: string, options: ViewerOptions): { viewer: Viewer; log: FrameLog } {
    const run = logFor(runId, options.from)
    const viewer = new Viewer(run.log, options)
    clock.add(viewer, options.userId)
    viewer.once('close', () => {
      run.log.readers.delete(viewer)
      if (run.log.readers.size === 0) drop(runId, run)
      else if (run.log.full) run.log.makeRoom()
    })
    return { viewer, log: run.log }
  }

  function drop(runId: string, run: Followed): void {
    run.stop.abort()
    if (followed.get(runId) === run) followed.delete(runId)
    ending.add(run.done)
    void run.done.then(() => ending.delete(run.done))
  }

  return {
    assertOpen(userId) {
      if (draining) throw problem('shutting_down')
      clock.assertRoom(userId)
    },
    async view(runId, options, signal) {
      if (!options.fresh) this.assertOpen(options.userId)
      const { viewer, log } = add(runId, options)
      if (draining) viewer.cut()
      if (options.fresh) return viewer
      try {
        await judge(log, viewer, signal)
        return viewer
      } catch (error) {
        viewer.destroy()
        // The drain has cut the viewer before its position could be checked.
        throw draining ? problem('shutting_down') : error
      }
    },
    drain() {
      draining = true
      clock.cutAll()
    },
    async close() {
      this.drain()
      await clock.closed()
      await Promise.all(ending)
    },
    stats: () => ({ viewers: clock.viewers.size, logs: followed.size, reads }),
  }
}

/** Waits until it is known whether the stream has the frame that the viewer needs, or ends right before that frame. */
async function judge(log: FrameLog, viewer: Viewer, signal: AbortSignal): Promise<void> {
  const from = viewer.next
  const left = new AbortController()
  viewer.once('close', () => left.abort())
  const either = AbortSignal.any([signal, left.signal])
  const isJudged = () => log.lost !== undefined || log.ending !== undefined || log.end > from
  await log.until(() => isJudged() || log.phase !== 'opening', BEGIN_MS, either)
  // A caller with a frame has it from another instance, which knew earlier than this one that the run executes.
  if (from > 0) await log.until(() => log.phase !== 'queued', DRAINED_MS, either)
  if (log.phase === 'over') await log.until(isJudged, OVER_MS, either)
  else if (from === 0) await log.until(() => isJudged() || log.phase === 'queued', UNWRITTEN_MS, either)
  else if (log.phase !== 'queued') {
    const drained = async () => {
      await log.until(() => isJudged() || (log.answered && log.end > 0), BEGIN_MS, either)
      await log.until(isJudged, DRAINED_MS, either)
    }
    await drained()
    // A read that broke is repeated: wait for the frames that it did not deliver.
    if (!log.answered) await drained()
  }
  if (log.lost === 'expired') throw problem('stream_expired')
  if (log.lost === 'away') throw problem('engine_unavailable', { retryAfter: 2 })
  if (viewer.destroyed) throw problem('engine_unavailable', { retryAfter: 2 })
  if (from <= log.end) return
  if (isJudged() || log.phase === 'queued' || (log.answered && log.end > 0)) throw beyondTheEnd(log.end)
  throw problem('engine_unavailable', { retryAfter: 2 })
}
