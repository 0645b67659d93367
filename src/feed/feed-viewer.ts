import { PacedViewer } from '../streams/paced-viewer.ts'
import { type FeedFrame, positionFrame } from './feed-frame.ts'
import { compare, type FeedPosition } from './position.ts'

export interface FeedViewerOptions {
  userId: string
  /** The conversation whose events the viewer gets. Undefined: the viewer gets all events of the user. */
  conversationId?: string | undefined
  /** When the caller's token expires, in ms since 1970. */
  expiresAt: number
  /** The feed ends without an error after so many seconds. */
  seconds?: number | undefined
}

/** A viewer for which more bytes wait is cut, because its client does not read. The client resumes the feed. */
const QUEUE_BYTES = 1024 * 1024

/**
 * A viewer of the feed. It skips events that its client has already, so each event is sent once, in the order of the feed.
 * New events wait until the events between the client's position and the present have been read.
 */
export class FeedViewer extends PacedViewer {
  readonly userId: string
  readonly #conversationId: string | undefined
  readonly #head: () => FeedPosition | undefined
  #after: FeedPosition
  #queue: Buffer[] = []
  #bytes = 0
  /** New events that wait while older events are read; undefined afterwards. */
  #waiting: FeedFrame[] | undefined = []
  #isOver = false

  /**
   * @param after the position up to which the client has all events
   * @param head the position up to which all events were offered to the viewers
   */
  constructor(options: FeedViewerOptions, after: FeedPosition, head: () => FeedPosition | undefined) {
    super(options.expiresAt)
    this.userId = options.userId
    this.#conversationId = options.conversationId
    this.#after = after
    this.#head = head
    if (options.seconds === undefined) return
    const timer = setTimeout(() => this.#finish(), options.seconds * 1000)
    this.once('close', () => clearTimeout(timer))
  }

  #finish(): void {
    this.#isOver = true
    this.pump()
  }

  /** Sends the older events, and then the new events that have waited. */
  begin(first: Buffer[], earlier: FeedFrame[]): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    this.#queue.push(...first)
    for (const frame of [...earlier, ...waiting]) this.#add(frame)
    // These bytes were not offered to the socket yet. A viewer that was cut for them would ask for the same events again.
    this.#bytes = 0
    this.pump()
  }

  offer(frame: FeedFrame): void {
    if (this.#waiting !== undefined) this.#waiting.push(frame)
    else {
      this.#add(frame)
      if (this.#bytes > QUEUE_BYTES) this.cut()
      else this.pump()
    }
  }

  override pump(): void {
    if (!this.wants || this.#waiting !== undefined) return
    if (this.#queue.length > 0) {
      this.give(Buffer.concat(this.#queue))
      this.#queue = []
      this.#bytes = 0
    }
    if (this.#isOver) this.push(null)
  }

  protected override heartbeat(): Buffer {
    const head = this.#head()
    const isAhead = head === undefined || this.#waiting !== undefined || compare(head, this.#after) < 0
    return positionFrame(isAhead ? this.#after : head)
  }

  #add({ position, conversationId, isLast, wire }: FeedFrame): void {
    if (this.#isOver || compare(position, this.#after) <= 0) return
    this.#after = position
    if (this.#conversationId !== undefined && this.#conversationId !== conversationId) return
    this.#queue.push(wire)
    this.#bytes += wire.length
    this.#isOver = isLast && this.#conversationId !== undefined
  }
}
