import { Readable } from 'node:stream'
import { HEARTBEAT, HELLO } from './frame.ts'

/** One connection that is sent server-sent events, as the clock of all viewers sees it. */
export interface Watched {
  /** When the caller's token expires, in ms since 1970. */
  readonly expiresAt: number
  /** For how many ms the socket has not taken what it was given. */
  stalledFor(now: number): number
  /** Sends a heartbeat, so that proxies do not take a long silence for a dead connection. */
  beat(): void
  /** Ends the view without a clean end. */
  cut(): void
}

/**
 * A connection that pulls: it is given more when its socket has taken what it was given before. It is destroyed where it
 * does not come to a clean end; `sendEvents` then resets the connection.
 */
export abstract class PacedViewer extends Readable implements Watched {
  readonly expiresAt: number
  #owesHeaders: boolean
  #isCut = false
  #wanted = false
  /** Time on the clock of `performance.now()` since which the socket has not taken what it was given. */
  #untakenSince = Number.POSITIVE_INFINITY

  /** @param owesHeaders the headers are sent before the viewer may be cut */
  constructor(expiresAt: number, owesHeaders = false) {
    // The stream asks for more only after the socket has taken everything.
    super({ highWaterMark: 1 })
    this.expiresAt = expiresAt
    this.#owesHeaders = owesHeaders
    // The first bytes send the headers, however late the first event is.
    this.push(HELLO)
  }

  /** Gives the socket what there is for it. Called when the socket wants more, and when there is something new. */
  abstract pump(): void

  /** Whether the socket has taken everything and can be given more. */
  get wants(): boolean {
    return this.#wanted && !this.destroyed
  }

  override _read(): void {
    this.#owesHeaders = false
    // The bytes that were pushed before are written first.
    if (this.#isCut) return void setImmediate(() => this.destroy())
    this.#wanted = true
    this.#untakenSince = Number.POSITIVE_INFINITY
    this.pump()
  }

  beat(): void {
    if (this.wants) this.give(this.heartbeat())
  }

  stalledFor(now: number): number {
    return now - this.#untakenSince
  }

  /** Ends the view, at once or as soon as the headers are out. */
  cut(): void {
    this.#isCut = true
    if (!this.#owesHeaders) this.destroy()
  }

  protected heartbeat(): Buffer {
    return HEARTBEAT
  }

  protected give(bytes: Buffer | undefined): void {
    this.#wanted = false
    this.#untakenSince = performance.now()
    this.push(bytes)
  }
}
