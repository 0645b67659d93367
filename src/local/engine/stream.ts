import { EventEmitter } from 'node:events'

/** One value of a stream: its JSON, the time of its arrival, and the write that brought it. */
export interface StreamRecord {
  json: string
  timestamp: number
  /** `ms-seq`, shared by all lines of one write, as a Redis stream numbers its entries. */
  entry: string
}

/** The rules by which a backend stores writes. */
export interface StreamRules {
  maxBytes: number
  /**
   * The unit in which a writer's chunks are counted. `lines`: each line is a chunk, and lines that the writer has
   * delivered before are skipped. `writes`, as on Redis: each write is one chunk, and nothing is skipped.
   */
  counts: 'lines' | 'writes'
  /** The number of writes that are kept; older ones are dropped. Undefined keeps all. */
  maxEntries?: number | undefined
}

/** Thrown when a run writes more to its streams than they may hold. */
export class StreamFullError extends Error {
  override message = 'The stream is full'
}

/**
 * An append-only log of JSON values that one run writes and any number of readers follow. Emits `change` when there is
 * more to read, or when the last writer has closed its connection.
 */
export class RunStream extends EventEmitter {
  /** Number of the first record that is still kept. */
  first = 0
  bytes = 0
  writers = 0
  /** Whether the task has opened the stream. A reader may wait for a stream that does not exist yet. */
  declared = false
  readonly records: StreamRecord[] = []
  readonly #rules: StreamRules
  /** The last chunk index of each writer. A writer that lost its connection asks for it and continues after it. */
  readonly #lastChunk = new Map<string, number>()
  #entries: number[] = []
  #lastEntry = { ms: 0, seq: 0 }

  constructor(rules: StreamRules) {
    super()
    this.#rules = rules
    this.setMaxListeners(0)
  }

  get counts(): StreamRules['counts'] {
    return this.#rules.counts
  }

  get end(): number {
    return this.first + this.records.length
  }

  lastChunk(client: string): number {
    return this.#lastChunk.get(client) ?? -1
  }

  /**
   * Appends the lines of one write, and returns how many chunks they count as. `from` is the writer's index of the
   * first. A writer without a name delivers each line once.
   */
  write(lines: string[], client: string, from: number): number {
    const byLines = this.#rules.counts === 'lines'
    const chunks = byLines ? lines.length : 1
    const fresh = byLines ? lines.slice(Math.max(0, this.lastChunk(client) + 1 - from)) : lines
    const last = from + chunks - 1
    if (client) this.#lastChunk.set(client, byLines ? Math.max(this.lastChunk(client), last) : last)
    if (fresh.length === 0) return chunks
    const size = fresh.reduce((sum, line) => sum + line.length, 0)
    if (this.bytes + size > this.#rules.maxBytes) throw new StreamFullError()
    const timestamp = Date.now()
    const entry = this.#nextEntry(timestamp)
    for (const json of fresh) this.records.push({ json, timestamp, entry })
    this.bytes += size
    this.#trim(fresh.length)
    this.emit('change')
    return chunks
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
    if (this.#rules.maxEntries === undefined) return
    this.#entries.push(added)
    while (this.#entries.length > this.#rules.maxEntries) {
      const count = this.#entries.shift() ?? 0
      for (const record of this.records.splice(0, count)) this.bytes -= record.json.length
      this.first += count
    }
  }
}
