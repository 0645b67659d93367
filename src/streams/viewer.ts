import { Readable } from 'node:stream'
import { HEARTBEAT, HELLO, ownFrame } from './frame.ts'
import type { FrameLog, LogReader } from './frame-log.ts'
import type { UiVersion } from './vocabulary.ts'

export interface ViewerOptions {
  /** Index of the first frame to show. */
  from: number
  ui: UiVersion
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
export class Viewer extends Readable implements LogReader {
  next: number
  readonly expiresAt: number
  readonly #log: FrameLog
  readonly #ui: UiVersion
  readonly #metadata: ViewerOptions['metadata']
  #owesHeaders: boolean
  #isCut = false
  #wanted = false
  /** Time on the clock of `performance.now()` since which the socket has not taken what it was given. */
  #untakenSince = Number.POSITIVE_INFINITY

  constructor(log: FrameLog, { from, ui, expiresAt, fresh, metadata }: ViewerOptions) {
    // The stream asks for more only after the socket has taken everything.
    super({ highWaterMark: 1 })
    this.next = from
    this.expiresAt = expiresAt
    this.#log = log
    this.#ui = ui
    this.#metadata = metadata
    this.#owesHeaders = fresh
    log.readers.add(this)
    // The first bytes send the headers, however late the first frame is.
    this.push(HELLO)
  }

  override _read(): void {
    this.#owesHeaders = false
    // The bytes that were pushed before are written first.
    if (this.#isCut) return void setImmediate(() => this.destroy())
    this.#wanted = true
    this.#untakenSince = Number.POSITIVE_INFINITY
    this.pump()
  }

  pump(): void {
    if (!this.#wanted || this.destroyed) return
    const before = this.next
    const frames = this.#take()
    if (frames.length > 0) this.#give(frames.length === 1 ? frames[0] : Buffer.concat(frames))
    else if (this.#log.ending !== undefined && this.next >= this.#log.end) {
      this.#give(this.#withStart(this.#log.ending))
      this.push(null)
    }
    if (this.next > before && this.#log.full) this.#log.makeRoom()
  }

  /** Sends a heartbeat, so that proxies do not take the silence of a long tool call for a dead connection. */
  beat(): void {
    if (this.#wanted && !this.destroyed) this.#give(HEARTBEAT)
  }

  /** For how many ms the socket has not taken what it was given. */
  stalledFor(now: number): number {
    return now - this.#untakenSince
  }

  /** Ends the view without a clean end, at once or as soon as the headers are out. */
  cut(): void {
    this.#isCut = true
    if (!this.#owesHeaders) this.destroy()
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

  #give(bytes: Buffer | undefined): void {
    this.#wanted = false
    this.#untakenSince = performance.now()
    this.push(bytes)
  }
}
