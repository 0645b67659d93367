import { EventEmitter } from 'node:events'
import { isFinal, type Run } from './run.ts'

export interface Retention {
  ms: number
  runs: number
  bytes: number
}

/** How many of the latest changes are kept. A subscriber that is further behind receives the whole state. */
const CHANGES_KEPT = 8192

/**
 * All runs of this engine, in memory, and the feed of their changes. Emits `change` with the run after each change, and
 * `forget` when a finished run is dropped: after `ms`, or when the runs are too many or too large.
 */
export class RunStore extends EventEmitter<{ change: [Run]; forget: [Run] }> {
  readonly #runs = new Map<string, Run>()
  readonly #retention: Retention
  readonly #finished = new Map<Run, number>()
  #finishedBytes = 0
  #changes: Run[] = []
  #lastChange = 0

  constructor(retention: Retention) {
    super()
    this.setMaxListeners(0)
    this.#retention = retention
  }

  get lastChange(): number {
    return this.#lastChange
  }

  get size(): number {
    return this.#runs.size
  }

  get(id: string): Run | undefined {
    return this.#runs.get(id)
  }

  /** All runs, oldest first. */
  all(): MapIterator<Run> {
    return this.#runs.values()
  }

  add(run: Run): void {
    this.#runs.set(run.id, run)
    run.firstChange = this.#lastChange + 1
    this.changed(run)
  }

  /** Records that a run has changed. The caller calls it after every change, once for each visible step. */
  changed(run: Run): void {
    run.updatedAt = new Date()
    run.lastChange = ++this.#lastChange
    this.#changes.push(run)
    if (this.#changes.length > 2 * CHANGES_KEPT) this.#changes = this.#changes.slice(-CHANGES_KEPT)
    if (isFinal(run.state) && run.completedAt) this.#retire(run)
    this.emit('change', run)
  }

  /** The runs that changed after change number `since`, each once, in the order of their latest change. */
  changedSince(since: number): Run[] {
    const behind = this.#lastChange - since
    if (behind > this.#changes.length) {
      return [...this.#runs.values()].sort((a, b) => a.lastChange - b.lastChange)
    }
    const recent = behind > 0 ? this.#changes.slice(-behind) : []
    return [...new Set(recent.reverse())].reverse().filter((run) => this.#runs.has(run.id))
  }

  #retire(run: Run): void {
    if (this.#finished.has(run)) return
    const bytes = weight(run)
    this.#finished.set(run, bytes)
    this.#finishedBytes += bytes
    for (const [oldest, size] of this.#finished) {
      const age = Date.now() - (oldest.completedAt?.getTime() ?? 0)
      const { ms, runs, bytes: maxBytes } = this.#retention
      if (age < ms && this.#finished.size <= runs && this.#finishedBytes <= maxBytes) return
      if (oldest === run) return
      this.#finished.delete(oldest)
      this.#finishedBytes -= size
      this.#runs.delete(oldest.id)
      this.emit('forget', oldest)
    }
  }
}

/** An estimate of the bytes that a finished run occupies. */
function weight(run: Run): number {
  const streams = [...run.streams.values()].reduce((sum, stream) => sum + stream.bytes, 0)
  return 2_000 + (run.payload.data?.length ?? 0) + (run.output?.data?.length ?? 0) + streams
}
