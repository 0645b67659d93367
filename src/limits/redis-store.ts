import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
// @ts-expect-error: the package has no types for its stores.
import RedisStore from '@fastify/rate-limit/store/RedisStore.js'
import type { Redis } from 'ioredis'

/**
 * The store of @fastify/rate-limit in Redis, for all limits at once. Keys are `agent-chat-service:<limit>:<key>`. The
 * package itself would put the address of a route into its keys, but these limits belong to no route.
 */
export function redisStore(redis: Redis): FastifyRateLimitStoreCtor {
  return class {
    constructor() {
      const store = new RedisStore(false, false, redis, 'agent-chat-service:')
      store.child = () => store
      // biome-ignore lint/correctness/noConstructorReturn: the package calls `new` and takes what it gets.
      return store
    }
  } as unknown as FastifyRateLimitStoreCtor
}
