/** Switches by which tests make the engine behave like other Trigger.dev servers. */
export interface Switches {
  /**
   * `s2`: readers get numbered records in batches, as from S2. `redis`: as from the Redis backend, all lines of a write
   * share a `ms-seq` id, `keptWrites` writes are kept, a silent stream ends, no reader resumes by number, each write
   * counts as one chunk, and a chunk that is written twice is there twice.
   */
  streams: 's2' | 'redis'
  /** Writes that the Redis backend keeps of a stream: about 1,000. */
  keptWrites: number
  /** Age, in milliseconds, before which lists do not show a run, as on a server that reads lists from a replica. */
  listLagMs: number
  /**
   * Share of the changes of runs, from 0 to 1, that are kept from subscriptions. A subscription that receives no change
   * during a long poll then gets the changes that it has missed, as on a real server.
   */
  loseEvents: number
  /** Time after which a long poll without events is answered: 20 s on a real server. */
  longPollMs: number
  /** Longest silence, in seconds, after which a reader's connection ends. Undefined: the reader's own wish decides. */
  silenceSeconds: number | undefined
  /** false: uploads of large payloads and outputs are answered 500, as by a server without object store. */
  objectStore: boolean
  /** true: requests beyond the rate limit are answered 429. */
  enforceRateLimit: boolean
  rateLimit: { bucket: number; refill: number; intervalMs: number }
}

export const DEFAULT_SWITCHES: Switches = {
  streams: 's2',
  keptWrites: 1_000,
  listLagMs: 0,
  loseEvents: 0,
  longPollMs: 20_000,
  silenceSeconds: undefined,
  objectStore: true,
  enforceRateLimit: false,
  rateLimit: { bucket: 750, refill: 250, intervalMs: 10_000 },
}
