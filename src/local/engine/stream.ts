import { EventEmitter } from 'node:events'

/** One value of a stream: its JSON, when it came, and which write brought it. */
export interface StreamRecord {
  json: string
  timestamp: number
  /** `ms-seq`, shared by all lines of one write, as a Redis stream numbers its entries. */
  entry: string
}

export interface StreamLimits {
  maxBytes: number
  /** Oldest writes are dropped beyond this many; undefined keeps all. */
  maxEntries?: number | undefined
}

/** Thrown at a writer whose run has filled its streams. */
export class StreamFullError extends Error {
  override message = 'The stream is full'
}

/**
 * An append-only log of JSON values that one run writes and any number of readers follow. Emits `change` when
 * there is more to read or the last writer has gone.
 */
export class RunStream extends EventEmitter {
  /** Number of the first record still kept. */
  first = 0
  bytes = 0
  writers = 0
  /** Whether the task has opened it; a reader may wait for a stream that does not exist yet. */
  declared = false
  readonly records: StreamRecord[] = []
  readonly #limits: StreamLimits
  /** Last chunk index per writer: a writer that lost its connection asks where to go on. */
  readonly #lastChunk = new Map<string, number>()
  #entries: number[] = []
  #lastEntry = { ms: 0, seq: 0 }

  constructor(limits: StreamLimits) {
    super()
    this.#limits = limits
    this.setMaxListeners(0)
  }

  get end(): number {
    return this.first + this.records.length
  }

  lastChunk(client: string): number {
    return this.#lastChunk.get(client) ?? -1
  }

  /**
   * Appends the lines of one write. `from` is the writer's index of the first line; lines that it had already
   * delivered are skipped. A writer without a name delivers each line once.
   */
  write(lines: string[], client: string, from: number): void {
    const fresh = lines.slice(Math.max(0, this.lastChunk(client) + 1 - from))
    if (client) this.#lastChunk.set(client, Math.max(this.lastChunk(client), from + lines.length - 1))
    if (fresh.length === 0) return
    const size = fresh.reduce((sum, line) => sum + line.length, 0)
    if (this.bytes + size > this.#limits.maxBytes) throw new StreamFullError()
    const timestamp = Date.now()
    const entry = this.#nextEntry(timestamp)
    for (const json of fresh) this.records.push({ json, timestamp, entry })
    this.bytes += size
    this.#trim(fresh.length)
    this.emit('change')
  }

  open(): void {
    this.writers++
  }

  close(): void {
    this.writers--
    this.emit('change')
  }

  #nextEntry(ms: number): string {
    this.#lastEntry =
      ms > this.#lastEntry.ms ? { ms, seq: 0 } : { ...this.#lastEntry, seq: this.#lastEntry.seq + 1 }
    return `${this.#lastEntry.ms}-${this.#lastEntry.seq}`
  }

  #trim(added: number): void {
    if (this.#limits.maxEntries === undefined) return
    this.#entries.push(added)
    while (this.#entries.length > this.#limits.maxEntries) {
      const count = this.#entries.shift() ?? 0
      for (const record of this.records.splice(0, count)) this.bytes -= record.json.length
      this.first += count
    }
  }
}
