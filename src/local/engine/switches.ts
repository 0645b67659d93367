/** Makes the engine behave like other Trigger.dev servers, for tests of what depends on them. */
export interface Switches {
  /**
   * `s2`: readers get numbered records in batches, as from S2. `redis`: as from the Redis backend: `ms-seq` ids
   * shared by all lines of a write, `keptWrites` kept, an end after silence, no resume by number; a writer's
   * chunks are its writes, and what it repeats is there twice.
   */
  streams: 's2' | 'redis'
  /** Writes that the Redis backend keeps of a stream: about 1,000. */
  keptWrites: number
  /** Lists do not show a run before this age, as where they are read from a replica. */
  listLagMs: number
  /**
   * Share of the changes of runs, from 0 to 1, that subscriptions are not told of. A subscription that then hears
   * nothing for the time of a long poll is told what it has missed, as on a real server.
   */
  loseEvents: number
  /** A long poll without events is answered after this time: 20 s on a real server. */
  longPollMs: number
  /** Seconds of silence after which a reader's connection ends, if it has asked for more; undefined: as it asks. */
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
