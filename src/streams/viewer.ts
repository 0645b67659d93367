import { Readable } from 'node:stream'
import { HEARTBEAT, HELLO } from './frame.ts'
import type { FrameLog, LogReader } from './frame-log.ts'
import type { UiVersion } from './vocabulary.ts'

export interface ViewerOptions {
  /** Index of the first frame to show. */
  from: number
  ui: UiVersion
  /** When the caller's token ends, in ms since 1970. */
  expiresAt: number
  /** The run has just been started: its caller gets the headers, which name it, before a connection is cut. */
  fresh: boolean
}

const BATCH_BYTES = 64 * 1024

/**
 * One connection's view of a log: an index into it, which moves on when the socket has taken what came before.
 * It ends when the log has; otherwise it is destroyed, never ended: to stock clients a clean end looks like a
 * complete answer.
 */
export class Viewer extends Readable implements LogReader {
  next: number
  readonly expiresAt: number
  readonly #log: FrameLog
  readonly #ui: UiVersion
  #owesHeaders: boolean
  #isCut = false
  #wanted = false
  /** Since when nobody has taken what is here, on the clock of `performance.now()`. */
  #untakenSince = Number.POSITIVE_INFINITY

  constructor(log: FrameLog, { from, ui, expiresAt, fresh }: ViewerOptions) {
    // Asks for more only once somebody has taken what is here.
    super({ highWaterMark: 1 })
    this.next = from
    this.expiresAt = expiresAt
    this.#log = log
    this.#ui = ui
    this.#owesHeaders = fresh
    log.readers.add(this)
    // Sends the headers, whenever the first frame may come.
    this.push(HELLO)
  }

  override _read(): void {
    this.#owesHeaders = false
    // What is here already is written first.
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
      this.#give(this.#log.ending)
      this.push(null)
    }
    if (this.next > before && this.#log.full) this.#log.makeRoom()
  }

  /** Keeps proxies from taking the silence of a long tool call for a dead connection. */
  beat(): void {
    if (this.#wanted && !this.destroyed) this.#give(HEARTBEAT)
  }

  /** For how long nobody has taken what is here, in ms. */
  stalledFor(now: number): number {
    return now - this.#untakenSince
  }

  cut(): void {
    this.#isCut = true
    if (!this.#owesHeaders) this.destroy()
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
