import { ownFrame } from './frame.ts'
import type { FrameLog, LogReader } from './frame-log.ts'
import { PacedViewer } from './paced-viewer.ts'
import type { UiVersion } from './vocabulary.ts'

export interface ViewerOptions {
  /** Index of the first frame to show. */
  from: number
  ui: UiVersion
  /** The user of the viewer's token; the open streams of one user are bounded. */
  userId: string
  /** When the caller's token expires, in ms since 1970. */
  expiresAt: number
  /** The run has just been started: its caller gets the headers, which name the run, before the viewer is cut. */
  fresh: boolean
  /** Metadata of the answer's message, for a run that has ended without a word: the worker's `start` would carry it. */
  metadata?: Record<string, string>
}

const BATCH_BYTES = 64 * 1024

/**
 * One connection's view of a log: an index into the log that moves on when the socket has taken the frames before.
 * A viewer ends when the log ends. In every other case it is destroyed, because stock clients take a clean end for
 * a complete answer; `sendStream` then resets the connection.
 */
export class Viewer extends PacedViewer implements LogReader {
  next: number
  readonly #log: FrameLog
  readonly #ui: UiVersion
  readonly #metadata: ViewerOptions['metadata']

  constructor(log: FrameLog, { from, ui, expiresAt, fresh, metadata }: ViewerOptions) {
    super(expiresAt, fresh)
    this.next = from
    this.#log = log
    this.#ui = ui
    this.#metadata = metadata
    log.readers.add(this)
  }

  override pump(): void {
    if (!this.wants) return
    const before = this.next
    const frames = this.#take()
    if (frames.length > 0) this.give(frames.length === 1 ? frames[0] : Buffer.concat(frames))
    else if (this.#log.ending !== undefined && this.next >= this.#log.end) {
      this.give(this.#withStart(this.#log.ending))
      this.push(null)
    }
    if (this.next > before && this.#log.full) this.#log.makeRoom()
  }

  /** A run that never wrote a frame has no `start`: the service writes it, so that pages know the conversation. */
  #withStart(ending: Buffer): Buffer {
    if (this.#log.end > 0 || this.#metadata === undefined) return ending
    return Buffer.concat([ownFrame({ type: 'start', messageMetadata: this.#metadata }), ending])
  }

  #take(): Buffer[] {
    const frames: Buffer[] = []
    for (let bytes = 0; bytes < BATCH_BYTES && this.next < this.#log.end; this.next++) {
      const wire = this.#log.at(this.next)?.wire[this.#ui]
      if (wire === undefined) continue
      frames.push(wire)
      bytes += wire.length
    }
    return frames
  }
}
