import { problem } from '../errors.ts'
import { beyondTheEnd } from './cursor.ts'
import { type FollowContext, followRun } from './follow-run.ts'
import { FrameLog } from './frame-log.ts'
import { Viewer, type ViewerOptions } from './viewer.ts'

export interface Streams {
  /**
   * Shows the run's stream from frame `from` on, to somebody who may read it. What is judged before anything is
   * sent: a position beyond the end (400), a stream that is no longer kept (410).
   * A run that has just been started (`fresh`) has nothing to judge, and its caller is never refused.
   */
  view(runId: string, options: ViewerOptions, signal: AbortSignal): Promise<Viewer>
  /** @throws Problem `shutting_down` once the service drains */
  assertOpen(): void
  /** Destroys all connections and refuses new ones: the clients resume elsewhere. */
  drain(): void
  /** Resolves when nothing is left running. */
  close(): Promise<void>
  stats(): StreamStats
}

export interface StreamStats {
  viewers: number
  /** Runs that are followed. */
  logs: number
  /** Reads of the engine's streams that were opened, ever. */
  reads: number
}

export interface StreamSettings {
  tickMs: number
  heartbeatMs: number
  stallMs: number
}

const SETTINGS: StreamSettings = { tickMs: 1_000, heartbeatMs: 10_000, stallMs: 60_000 }

/** A live stream that says nothing for this long has said what there is. */
const DRAINED_MS = 500
/** The engine may take this long to begin a stream that exists. */
const BEGIN_MS = 5_000
/** A running worker may not have written anything yet; its viewers wait with open headers. */
const UNWRITTEN_MS = 1_000
/** What is left of the stream of a run that is over is known after this long without news. */
const OVER_MS = 20_000

interface Followed {
  log: FrameLog
  stop: AbortController
  done: Promise<void>
}

/** The streams that this instance shows: one log and one read of the engine for each run, however many look on. */
export function streams(
  context: Omit<FollowContext, 'onRead'> & { log: { error(object: object, message: string): void } },
  settings: Partial<StreamSettings> = {},
): Streams {
  const { tickMs, heartbeatMs, stallMs } = { ...SETTINGS, ...settings }
  const followed = new Map<string, Followed>()
  const ending = new Set<Promise<void>>()
  const viewers = new Set<Viewer>()
  let timer: NodeJS.Timeout | undefined
  let beatAt = 0
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

  /** A log that is lost, or has dropped what this viewer needs, is left to those who still read it. */
  function logFor(runId: string, from: number): Followed {
    const run = followed.get(runId)
    return run === undefined || run.log.lost || from < run.log.first ? follow(runId) : run
  }

  function add(runId: string, options: ViewerOptions): { viewer: Viewer; log: FrameLog } {
    const run = logFor(runId, options.from)
    const viewer = new Viewer(run.log, options)
    viewers.add(viewer)
    viewer.once('close', () => {
      viewers.delete(viewer)
      run.log.readers.delete(viewer)
      if (viewers.size === 0) stopTicking()
      if (run.log.readers.size === 0) drop(runId, run)
      else if (run.log.full) run.log.makeRoom()
    })
    if (timer === undefined) startTicking()
    return { viewer, log: run.log }
  }

  function drop(runId: string, run: Followed): void {
    run.stop.abort()
    if (followed.get(runId) === run) followed.delete(runId)
    ending.add(run.done)
    void run.done.then(() => ending.delete(run.done))
  }

  /** One timer for everybody: heartbeats, tokens that have ended, clients that do not read. */
  function tick(): void {
    const now = performance.now()
    const date = Date.now()
    const beats = now - beatAt >= heartbeatMs
    if (beats) beatAt = now
    for (const viewer of viewers) {
      if (date >= viewer.expiresAt || viewer.stalledFor(now) >= stallMs) viewer.cut()
      else if (beats) viewer.beat()
    }
  }

  function startTicking(): void {
    beatAt = performance.now()
    timer = setInterval(tick, tickMs).unref()
  }

  function stopTicking(): void {
    clearInterval(timer)
    timer = undefined
  }

  return {
    assertOpen() {
      if (draining) throw problem('shutting_down')
    },
    async view(runId, options, signal) {
      if (!options.fresh) this.assertOpen()
      const { viewer, log } = add(runId, options)
      if (draining) viewer.cut()
      if (options.fresh) return viewer
      try {
        await judge(log, viewer, signal)
        return viewer
      } catch (error) {
        viewer.destroy()
        // Whatever it would have come to, it was cut off.
        throw draining ? problem('shutting_down') : error
      }
    },
    drain() {
      draining = true
      for (const viewer of viewers) viewer.cut()
    },
    async close() {
      this.drain()
      await Promise.all([...viewers].map((viewer) => new Promise((resolve) => viewer.once('close', resolve))))
      await Promise.all(ending)
    },
    stats: () => ({ viewers: viewers.size, logs: followed.size, reads }),
  }
}

/** Waits until it is known whether the stream has the frame that the viewer needs, or ends just before it. */
async function judge(log: FrameLog, viewer: Viewer, signal: AbortSignal): Promise<void> {
  const from = viewer.next
  const gone = new AbortController()
  viewer.once('close', () => gone.abort())
  const either = AbortSignal.any([signal, gone.signal])
  const isJudged = () => log.lost !== undefined || log.ending !== undefined || log.end > from
  await log.until(() => isJudged() || log.phase !== 'opening', BEGIN_MS, either)
  // Whoever has seen a frame knows of the begin before this instance does.
  if (from > 0) await log.until(() => log.phase !== 'queued', DRAINED_MS, either)
  if (log.phase === 'over') await log.until(isJudged, OVER_MS, either)
  else if (from === 0) await log.until(() => isJudged() || log.phase === 'queued', UNWRITTEN_MS, either)
  else if (log.phase !== 'queued') {
    const drained = async () => {
      await log.until(() => isJudged() || (log.answered && log.end > 0), BEGIN_MS, either)
      await log.until(isJudged, DRAINED_MS, either)
    }
    await drained()
    // What a read that broke has left out is read again.
    if (!log.answered) await drained()
  }
  if (log.lost === 'expired') throw problem('stream_expired')
  if (log.lost === 'away') throw problem('engine_unavailable', { retryAfter: 2 })
  if (viewer.destroyed) throw problem('engine_unavailable', { retryAfter: 2 })
  if (from <= log.end) return
  if (isJudged() || log.phase === 'queued' || (log.answered && log.end > 0)) throw beyondTheEnd(log.end)
  throw problem('engine_unavailable', { retryAfter: 2 })
}
