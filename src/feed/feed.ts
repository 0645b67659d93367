import { problem } from '../errors.ts'
import type { FeedStore } from '../stores/feed.ts'
import { CLOCK_SETTINGS, type ClockSettings, ViewerClock } from '../streams/viewer-clock.ts'
import { type FeedFrame, feedFrame, openedFrame } from './feed-frame.ts'
import { FeedViewer, type FeedViewerOptions } from './feed-viewer.ts'
import { compare, type FeedPosition } from './position.ts'

export interface Feed {
  /**
   * Opens a viewer of a user's events: of the new events, or of the events after a position. The route has checked that the
   * caller may see the conversation.
   * @throws Problem `feed_expired` when events after the position may be deleted, `too_many_streams`,
   *   `database_unavailable`, `shutting_down`
   */
  view(options: FeedViewerOptions, from?: FeedPosition): Promise<FeedViewer>
  /** Reads new events at once, because an instance has written some. */
  wake(): void
  /** Cuts all viewers and refuses new ones: their clients resume on another instance. */
  drain(): void
  /** Drains, and resolves when no viewer is left. */
  close(): Promise<void>
  stats(): FeedStats
}

export interface FeedStats {
  viewers: number
  /** For how many seconds the oldest event has been waiting for the end of an older transaction. */
  heldSeconds: number
}

export interface FeedContext {
  store: Pick<FeedStore, 'read'>
  log: { warn(object: object, message: string): void }
}

/** Pause between two reads of the events, while no notice comes. */
const READ_MS = 500
/** Pause before the next read while events wait for the end of an older transaction. It doubles each time. */
const HELD_MS = 25
/** The most events of one read. */
const BATCH = 1_000
/** The most events that a viewer may have missed. */
const MISSED_MAX = 10_000
/** A position older than this is expired, and its client loads its data again. Events are kept a little longer. */
const VALID_MS = 60 * 60_000

/**
 * The feed of one instance. While there are viewers, one read serves all of them: at once after a notice, and every half
 * second.
 */
export function feed(
  { store, log }: FeedContext,
  { readMs = READ_MS, ...settings }: Partial<ClockSettings> & { readMs?: number } = {},
): Feed {
  const clock = new ViewerClock<FeedViewer>({ ...CLOCK_SETTINGS, ...settings })
  const { viewers } = clock
  /** The position up to which all events were offered to the viewers. Undefined while there are no viewers. */
  let head: FeedPosition | undefined
  let reading: Promise<void> | undefined
  let opening: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  /** Whether events may have come since the last read began. */
  let isWoken = false
  let heldMs = HELD_MS
  let heldSeconds = 0
  let isFailing = false
  let draining = false

  /** Reads the events since the last read. While the database is away, the viewers wait. */
  async function readEvents(): Promise<void> {
    for (let isMore = true; isMore && head !== undefined && viewers.size > 0; ) {
      const byUser = Map.groupBy(viewers, ({ userId }) => userId)
      const read = await store.read(head, [...byUser.keys()], BATCH)
      heldSeconds = read.heldSeconds
      // The database server has lost its newest transactions, because a standby without them has taken over.
      if (read.horizon < head.xid) return clock.cutAll()
      for (const event of read.events) {
        const frame = feedFrame(event)
        for (const viewer of byUser.get(event.userId) ?? []) viewer.offer(frame)
      }
      isMore = read.events.length === BATCH
      head = (isMore && read.events.at(-1)?.position) || { xid: read.horizon, id: 0n, at: Date.now() }
    }
  }

  function schedule(ms: number): void {
    timer ??= setTimeout(async () => {
      isWoken = false
      reading = readEvents()
        .then(noteSuccess, noteFailure)
        .finally(() => {
          reading = undefined
        })
      await reading
      timer = undefined
      if (viewers.size > 0) schedule(pause())
      else close()
    }, ms)
  }

  function pause(): number {
    if (isWoken) return 0
    heldMs = heldSeconds > 0 ? Math.min(2 * heldMs, readMs) : HELD_MS
    return heldSeconds > 0 ? heldMs : readMs
  }

  function wake(): void {
    isWoken = true
    if (timer === undefined || reading !== undefined) return
    clearTimeout(timer)
    timer = undefined
    schedule(0)
  }

  const noteSuccess = () => {
    isFailing = false
  }

  /** Logs only the first of consecutive failures. */
  function noteFailure(error: unknown): void {
    if (!isFailing) log.warn({ err: error }, 'the events of the feed cannot be read; the viewers wait')
    isFailing = true
  }

  function close(): void {
    head = undefined
    heldSeconds = 0
  }

  /** Reads the present position of the feed. */
  function open(): Promise<void> {
    opening ??= store
      .read({ xid: 0n, id: 0n, at: 0 }, [], 0)
      .then(({ horizon }) => {
        head = { xid: horizon, id: 0n, at: Date.now() }
      })
      .finally(() => {
        opening = undefined
      })
    return opening
  }

  /** Adds a viewer between two reads, because a read under way may not read the events of its user. */
  async function add(options: FeedViewerOptions, from: FeedPosition | undefined) {
    for (;;) {
      if (reading !== undefined) await reading
      else if (head === undefined) await open()
      else break
    }
    if (draining) throw problem('shutting_down')
    // There is no `await` between this check and the adding of the viewer, so parallel viewers are counted, too.
    clock.assertRoom(options.userId)
    const viewer = new FeedViewer(options, from ?? head, () => head)
    clock.add(viewer, options.userId)
    schedule(readMs)
    return { viewer, present: head }
  }

  /** The events between a client's position and the present. */
  async function missed(from: FeedPosition, present: FeedPosition, userId: string): Promise<FeedFrame[]> {
    if (from.at < Date.now() - VALID_MS) throw problem('feed_expired')
    const frames: FeedFrame[] = []
    for (let after = from, isMore = true; isMore; ) {
      const { events, horizon } = await store.read(after, [userId], BATCH)
      // A position ahead of the horizon comes from another database.
      if (after.xid > horizon || frames.length > MISSED_MAX) throw problem('feed_expired')
      for (const event of events) if (compare(event.position, present) <= 0) frames.push(feedFrame(event))
      const last = events.at(-1)?.position
      isMore = events.length === BATCH && last !== undefined && compare(last, present) < 0
      after = last ?? after
    }
    return frames
  }

  return {
    wake,
    async view(options, from) {
      if (draining) throw problem('shutting_down')
      const { viewer, present } = await add(options, from)
      try {
        if (from === undefined) viewer.begin([openedFrame(present)], [])
        else viewer.begin([], await missed(from, present, options.userId))
        return viewer
      } catch (error) {
        viewer.destroy()
        throw error
      }
    },
    drain() {
      draining = true
      clock.cutAll()
    },
    async close() {
      this.drain()
      clearTimeout(timer)
      await clock.closed()
      await reading
    },
    stats: () => ({ viewers: viewers.size, heldSeconds }),
  }
}
