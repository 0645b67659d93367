import type { FastifyInstance, FastifyRequest } from 'fastify'

/** One budget: the number of uses that are allowed in a window. The window begins with its first use. */
export interface Limit {
  /** Name of the limit in `RateLimit-Policy`. */
  name: string
  max: number
  windowSeconds: number
  /** The things that are counted, in words for people: "starts", "reads by one actor". */
  noun: string
  /** Counts one use. */
  use(request: FastifyRequest): Promise<Budget>
  /** Reads what is left without counting a use. */
  peek(request: FastifyRequest): Promise<Budget>
}

/** The rest of a limit for one key. */
export interface Budget {
  limit: Limit
  remaining: number
  /** Seconds until the window ends, rounded up, at least 1. A caller who waits so long may go on. */
  seconds: number
  /** Whether the use that was just counted exceeds the limit. */
  exceeded: boolean
}

export interface LimitOptions extends Pick<Limit, 'name' | 'max' | 'windowSeconds' | 'noun'> {
  key: (request: FastifyRequest) => string
  /** Redis keeps a key through the last millisecond of its window. The store in memory does not. */
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
    // All limits share one key space in Redis, so a key begins with the name of its limit.
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
    peek: (request) => ask(request, false),
  }
  return self
}
