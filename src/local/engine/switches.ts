/** Makes the engine behave like other Trigger.dev servers, for tests of what depends on them. */
export interface Switches {
  /**
   * `s2`: readers get numbered records in batches, as from S2. `redis`: as from the Redis backend: `ms-seq` ids
   * shared by all lines of a write, about 1,000 writes kept, an end after silence, no resume by number.
   */
  streams: 's2' | 'redis'
  /** false: uploads of large payloads and outputs are answered 500, as by a server without object store. */
  objectStore: boolean
  /** true: requests beyond the rate limit are answered 429. */
  enforceRateLimit: boolean
  rateLimit: { bucket: number; refill: number; intervalMs: number }
}

export const DEFAULT_SWITCHES: Switches = {
  streams: 's2',
  objectStore: true,
  enforceRateLimit: false,
  rateLimit: { bucket: 750, refill: 250, intervalMs: 10_000 },
}
