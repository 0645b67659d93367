import { EventEmitter } from 'node:events'
import type { Frame } from './frame.ts'

/** Why a log can serve no frame any more: the engine does not keep the stream, or cannot be reached. */
export type Loss = 'expired' | 'away'

/** Whoever reads a log: `next` is the index that it needs, `pump` takes what there is, `cut` ends it. */
export interface LogReader {
  readonly next: number
  pump(): void
  cut(): void
}

const CAP_BYTES = 8 * 1024 * 1024

/**
 * The frames of one run, in order and without a gap, for everybody who views it on this instance. Emits `change`
 * when there is more, when it has ended or is lost, when a reader has made room, and, with false, when the engine
 * has answered: that is no news of the stream itself.
 */
export class FrameLog extends EventEmitter {
  readonly readers = new Set<LogReader>()
  /** Index of the first frame still kept. */
  first = 0
  bytes = 0
  /** What is known of the run: nothing yet, that it waits, that there is something to read, or that it has ended. */
  phase: 'opening' | 'queued' | 'reading' | 'over' = 'opening'
  /** What follows the last frame once the run is over: parts of the service's own and `[DONE]`. */
  ending: Buffer | undefined
  lost: Loss | undefined
  /** Whether the engine has answered whoever reads of it: what it has is here or on its way. */
  answered = false
  readonly #frames: Frame[] = []
  readonly #capBytes: number
  /** Frames that the run has; what its worker writes after its end was settled is none of them. */
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

  /** Whether the log has reached the end that the run's row names. */
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
   * Beyond the cap, drops what the fastest reader has read. Readers that still need it are cut: they come back
   * to a log of their own, which begins where they are.
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

  answer(answered: boolean): void {
    this.answered = answered
    this.emit('change', false)
  }

  /** The run has ended, with so many frames if they could be counted: those beyond are taken back. */
  close(count: number | null): void {
    this.phase = 'over'
    if (count !== null) {
      this.#count = count
      for (const frame of this.#frames.splice(Math.max(0, count - this.first))) this.bytes -= frame.size
    }
    this.emit('change')
  }

  finish(ending: Buffer): void {
    this.ending = ending
    this.#changed()
  }

  lose(loss: Loss): void {
    this.lost = loss
    this.emit('change')
    for (const reader of this.readers) reader.cut()
  }

  /** Resolves with true once `ready` holds, with false after `ms` without news of the stream or when `signal` aborts. */
  until(ready: () => boolean, ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (result: boolean) => {
        clearTimeout(timer)
        this.off('change', look)
        signal.removeEventListener('abort', giveUp)
        resolve(result)
      }
      const giveUp = () => settle(false)
      const timer = setTimeout(giveUp, ms)
      const look = (isNews = true) => {
        if (ready()) settle(true)
        else if (isNews) timer.refresh()
      }
      this.on('change', look)
      signal.addEventListener('abort', giveUp, { once: true })
      if (signal.aborted) giveUp()
      else look()
    })
  }

  /** What arrives in one turn of the event loop leaves in one write per reader. */
  #changed(): void {
    this.emit('change')
    this.#pumping ??= setImmediate(() => {
      this.#pumping = undefined
      for (const reader of this.readers) reader.pump()
    })
  }
}
