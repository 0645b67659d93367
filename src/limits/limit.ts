import type { FastifyInstance, FastifyRequest } from 'fastify'

/** One budget: how often something may happen in a window that begins with its first use. */
export interface Limit {
  /** Its name in `RateLimit-Policy`. */
  name: string
  max: number
  windowSeconds: number
  /** What is counted and by whom, for people: "starts", "reads by one actor". */
  noun: string
  /** Counts one use. */
  use(request: FastifyRequest): Promise<Budget>
  /** Looks without counting. */
  look(request: FastifyRequest): Promise<Budget>
}

/** What is left of a limit for one key. */
export interface Budget {
  limit: Limit
  remaining: number
  /** Seconds until the window ends, rounded up, at least 1: waiting them is enough. */
  seconds: number
  /** The use that was just counted did not fit any more. */
  exceeded: boolean
}

export interface LimitOptions extends Pick<Limit, 'name' | 'max' | 'windowSeconds' | 'noun'> {
  key: (request: FastifyRequest) => string
  /** Redis keeps a key through the last millisecond of its window; memory does not. */
  lastMs: 0 | 1
}

/**
 * Windows in memory are forgotten, least recently used first, beyond this many keys per limit. Keys of users
 * cost a verified token each, and an actor that makes users up runs into its own limit first; an address
 * that can evict others has as many addresses and needs no eviction. About 10 MB when full.
 */
const KEYS_IN_MEMORY = 50_000

/** A limit counted by @fastify/rate-limit, in memory or in Redis. */
export function createLimit(app: FastifyInstance, { key, lastMs, ...limit }: LimitOptions): Limit {
  const options = {
    max: limit.max,
    timeWindow: limit.windowSeconds * 1000,
    // In Redis every limit shares one key space: the name keeps them apart.
    keyGenerator: (request: FastifyRequest) => `${limit.name}:${key(request)}`,
    cache: KEYS_IN_MEMORY, // heeded, though its types do not know
  }
  const count = app.createRateLimit(options)

  async function ask(request: FastifyRequest, increment: boolean): Promise<Budget> {
    const state = await count(request, { increment })
    if (state.isAllowed) throw new Error('no key is on a list of exceptions')
    const ms = Math.min(state.ttl + lastMs, state.timeWindow)
    const seconds = Math.max(1, Math.ceil(ms / 1000))
    return { limit: self, remaining: state.remaining, seconds, exceeded: state.isExceeded }
  }
  const self: Limit = {
    ...limit,
    use: (request) => ask(request, true),
    look: (request) => ask(request, false),
  }
  return self
}
