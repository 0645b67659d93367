import { PacedViewer } from '../streams/paced-viewer.ts'
import { type FeedFrame, positionFrame } from './feed-frame.ts'
import { compare, type FeedPosition } from './position.ts'

export interface FeedViewerOptions {
  userId: string
  /** Shows the events of one conversation only. */
  conversationId?: string | undefined
  /** When the caller's token expires, in ms since 1970. */
  expiresAt: number
  /** The view comes to a clean end after so many seconds. */
  seconds?: number | undefined
}

/** A viewer for whom more than this waits does not read: it is cut, and resumes. */
const QUEUE_BYTES = 1024 * 1024

/**
 * One connection's view of the feed. Events that the viewer has already are passed over, so each comes once, in the order
 * of the feed. Until the events between the viewer's position and the present have been read, new ones wait.
 */
export class FeedViewer extends PacedViewer {
  readonly userId: string
  readonly #conversationId: string | undefined
  readonly #head: () => FeedPosition | undefined
  #after: FeedPosition
  #queue: Buffer[] = []
  #bytes = 0
  /** New events, as long as older ones are still being read. */
  #waiting: FeedFrame[] | undefined = []
  #isOver = false

  /**
   * @param after the viewer has all events up to this one
   * @param head up to where all events have been offered
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

  /** Takes the events before the present, and then those that have come meanwhile. */
  begin(first: Buffer[], earlier: FeedFrame[]): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    this.#queue.push(...first)
    for (const frame of [...earlier, ...waiting]) this.#add(frame)
    // The socket has not been offered these yet. A viewer that was cut for them would ask for the same ones again.
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
