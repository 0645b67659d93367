import { EventEmitter } from 'node:events'
import type { Frame } from './frame.ts'

/** Why a log can serve no frame any more: the engine does not keep the stream, or cannot be reached. */
export type Loss = 'expired' | 'away'

/** A reader of a log: `next` is the index of the frame that it needs, `pump` takes the frames that are there, `cut` ends it. */
export interface LogReader {
  readonly next: number
  pump(): void
  cut(): void
}

const CAP_BYTES = 8 * 1024 * 1024

/**
 * The frames of one run, in order and without a gap, for all its viewers on this instance.
 *
 * Events: `change` when the stream has news (a frame, a new phase, its end, its loss, room for more frames);
 * `answered` when `answered` has been set, which says nothing about the stream itself.
 */
export class FrameLog extends EventEmitter {
  readonly readers = new Set<LogReader>()
  /** Index of the first frame still kept. */
  first = 0
  bytes = 0
  /** State of the run as far as this log knows: unknown yet, waiting in its queue, executing, or ended. */
  phase: 'opening' | 'queued' | 'reading' | 'over' = 'opening'
  /** Bytes that follow the last frame once the run has ended: parts that the service adds, and `[DONE]`. */
  ending: Buffer | undefined
  lost: Loss | undefined
  /** Whether the engine has answered the current read: the frames that it holds are here or on their way. */
  answered = false
  readonly #frames: Frame[] = []
  readonly #capBytes: number
  /** Number of frames of the run. Frames that its worker writes after the run's end was stored do not count. */
  #count = Number.POSITIVE_INFINITY
  #pumping: NodeJS.Immediate | undefined

  constructor(capBytes = CAP_BYTES) {
    super()
    this.#capBytes = capBytes
    this.setMaxListeners(0)
  }

  /** Index of the next frame to come. */
  get end(): number {
    return this.first + this.#frames.length
  }

  get lastType(): string | undefined {
    return this.#frames.at(-1)?.type
  }

  get full(): boolean {
    return this.bytes > this.#capBytes
  }

  at(index: number): Frame | undefined {
    return this.#frames[index - this.first]
  }

  /** Whether the log has as many frames as the run's row names. */
  get complete(): boolean {
    return this.end >= this.#count
  }

  append(frame: Frame): void {
    if (this.complete) return
    this.#frames.push(frame)
    this.bytes += frame.size
    if (this.full) this.makeRoom()
    this.#changed()
  }

  /**
   * Drops frames that the fastest reader has read while the log is over its cap. Readers that still need a dropped
   * frame are cut; when they resume, they get a log of their own that begins at their position.
   */
  makeRoom(): void {
    const fastest = Math.max(this.first, ...[...this.readers].map((reader) => reader.next))
    let count = 0
    for (let bytes = this.bytes; bytes > this.#capBytes && this.first + count < fastest; count++)
      bytes -= this.#frames[count]?.size ?? 0
    if (count === 0) return
    for (const frame of this.#frames.splice(0, count)) this.bytes -= frame.size
    this.first += count
    for (const reader of this.readers) if (reader.next < this.first) reader.cut()
    this.emit('change')
  }

  enter(phase: 'queued' | 'reading'): void {
    this.phase = phase
    this.emit('change')
  }

  /** Notes whether the engine has answered the current read. */
  answer(answered: boolean): void {
    this.answered = answered
    this.emit('answered')
  }

  /**
   * Notes that the run has ended. Frames beyond its number of frames are dropped.
   * @param count number of frames of the run; null when the service could not count them
   */
  close(count: number | null): void {
    this.phase = 'over'
    if (count !== null) {
      this.#count = count
      for (const frame of this.#frames.splice(Math.max(0, count - this.first))) this.bytes -= frame.size
    }
    this.emit('change')
  }

  /** Ends the stream: viewers that have read all frames get these bytes and then a clean end. */
  finish(ending: Buffer): void {
    this.ending = ending
    this.#changed()
  }

  /** Cuts all readers: the log will never hold the frames that they need. */
  lose(loss: Loss): void {
    this.lost = loss
    this.emit('change')
    for (const reader of this.readers) reader.cut()
  }

  /**
   * Resolves with true once `ready` holds, with false after `ms` without a `change` or when `signal` aborts.
   * `answered` only makes it ask `ready` again; the time goes on.
   */
  until(ready: () => boolean, ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (result: boolean) => {
        clearTimeout(timer)
        this.off('change', onChange)
        this.off('answered', check)
        signal.removeEventListener('abort', stopWaiting)
        resolve(result)
      }
      const stopWaiting = () => settle(false)
      const timer = setTimeout(stopWaiting, ms)
      const check = () => {
        if (ready()) settle(true)
      }
      const onChange = () => {
        if (ready()) settle(true)
        else timer.refresh()
      }
      this.on('change', onChange)
      this.on('answered', check)
      signal.addEventListener('abort', stopWaiting, { once: true })
      if (signal.aborted) stopWaiting()
      else check()
    })
  }

  /** Frames that arrive in one turn of the event loop leave in one write per reader. */
  #changed(): void {
    this.emit('change')
    this.#pumping ??= setImmediate(() => {
      this.#pumping = undefined
      for (const reader of this.readers) reader.pump()
    })
  }
}
