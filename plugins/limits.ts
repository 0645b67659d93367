import rateLimit from '@fastify/rate-limit'
import type { FastifyBaseLogger, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../src/config/config.ts'
import { addressOf } from '../src/limits/address.ts'
import { BUCKETS, type Bucket } from '../src/limits/buckets.ts'
import { createLimit, type Limit } from '../src/limits/limit.ts'
import { connectRedis } from '../src/limits/redis.ts'
import { redisStore } from '../src/limits/redis-store.ts'
import { exceeded, rateLimitHeaders, spend } from '../src/limits/spend.ts'

declare module 'fastify' {
  interface FastifyInstance {
    limits: {
      /** Takes one from the caller's bucket, and from the actor's. @throws Problem `rate_limited` */
      charge(request: FastifyRequest, reply: FastifyReply, bucket: Bucket): Promise<void>
      /** Counts a bad token against its address. @throws Problem `rate_limited` */
      badToken(request: FastifyRequest): Promise<void>
      /** Requests that passed uncounted because Redis was away. */
      readonly uncounted: number
    }
  }
}

const ACTOR_FACTOR = 20

/** The budgets of users, actors and addresses: in memory, or in Redis where all instances share them. */
const limits: FastifyPluginAsync<{ config: Pick<AppConfig, 'auth' | 'rateLimit'> }> = async (
  app,
  { config },
) => {
  const { redisUrl, windowSeconds, startMax, readMax, actorMax } = config.rateLimit
  const quietly = oncePerSecond(app.log)
  const redis = redisUrl === undefined ? undefined : await connectRedis(redisUrl, quietly)
  if (redis !== undefined) app.addHook('onClose', async () => redis.disconnect())
  await app.register(rateLimit, {
    global: false,
    ...(redis === undefined ? {} : { store: redisStore(redis) }),
  })

  const lastMs = redis === undefined ? 0 : 1
  const max: Record<Bucket, number> = { start: startMax, read: readMax }
  const perUser = perBucket((bucket) =>
    createLimit(app, {
      name: bucket,
      max: max[bucket],
      windowSeconds,
      noun: `${bucket}s`,
      key: ({ caller }) => caller.userId,
      lastMs,
    }),
  )
  const perActor = perBucket((bucket) =>
    createLimit(app, {
      name: `${bucket}-actor`,
      max: actorMax ?? ACTOR_FACTOR * max[bucket],
      windowSeconds,
      noun: `${bucket}s by one actor`,
      key: ({ caller }) => caller.actor ?? '',
      lastMs,
    }),
  )
  const perAddress = createLimit(app, {
    name: 'bad-token',
    max: config.auth.failureMax,
    windowSeconds: 60,
    noun: 'bad tokens from one address',
    key: addressOf,
    lastMs,
  })

  let uncounted = 0
  /** A request that cannot be counted, because Redis is away, passes. */
  async function spendOrPass(limits: Limit[], request: FastifyRequest) {
    try {
      return await spend(limits, request)
    } catch (error) {
      uncounted++
      quietly(error)
      return []
    }
  }

  app.decorate('limits', {
    async charge(request, reply, bucket) {
      const ofActor = request.caller.actor === undefined ? [] : [perActor[bucket]]
      const budgets = await spendOrPass([perUser[bucket], ...ofActor], request)
      const refusal = exceeded(budgets)
      app.metrics?.limited(bucket, refusal === undefined ? 'allowed' : 'refused')
      if (refusal !== undefined) throw refusal
      if (budgets.length > 0) reply.headers(rateLimitHeaders(budgets))
    },
    async badToken(request) {
      const refusal = exceeded(await spendOrPass([perAddress], request))
      app.metrics?.limited('bad-token', refusal === undefined ? 'allowed' : 'refused')
      if (refusal !== undefined) throw refusal
    },
    get uncounted() {
      return uncounted
    },
  })
}

const perBucket = <T>(make: (bucket: Bucket) => T) =>
  Object.fromEntries(BUCKETS.map((bucket) => [bucket, make(bucket)])) as Record<Bucket, T>

/** Logs an outage of Redis at most once a second, because every request notices the outage. */
function oncePerSecond(log: FastifyBaseLogger): (error: unknown) => void {
  let last = Number.NEGATIVE_INFINITY
  return (error) => {
    if (performance.now() - last < 1000) return
    last = performance.now()
    log.warn({ err: error }, 'Redis is away: requests pass without being counted')
  }
}

export default fp(limits, { name: 'limits', fastify: '5.x', dependencies: ['metrics'] })
