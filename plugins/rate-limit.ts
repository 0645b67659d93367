import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { problem } from '../src/errors.ts'
import type { Bucket } from '../src/limits/buckets.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Takes one request from the caller's bucket. A route with `bucket: 'handler'` calls this once it knows its price.
     * @throws Problem `rate_limited`
     */
    charge(bucket: Bucket): Promise<void>
    /** Whether the route has not yet said what the request costs. */
    uncharged: boolean
  }
}

/**
 * Charges every request to the bucket that its route declares, as soon as the caller is known. With the bucket
 * `handler`, a request that is refused before the handler has chosen a price is charged as a read.
 */
const rateLimit: FastifyPluginAsync = async (app) => {
  app.decorateRequest('uncharged', false)
  app.addHook('onRoute', (route) => {
    if (route.config?.bucket !== 'handler') return
    route.errorHandler = async (error, request) => {
      if (request.uncharged) await request.charge('read')
      throw error
    }
  })
  app.decorateRequest('charge', async () => {
    throw problem('internal', { cause: 'charged before the caller was known' })
  })
  app.addHook('onRequest', async (request, reply) => {
    const { bucket } = request.routeOptions.config
    if (bucket === undefined) return
    request.uncharged = bucket === 'handler'
    request.charge = (chosen) => {
      request.uncharged = false
      return app.limits.charge(request, reply, chosen)
    }
    if (bucket !== 'handler') await request.charge(bucket)
  })
}

export default fp(rateLimit, { name: 'rate-limit', fastify: '5.x', dependencies: ['auth', 'limits'] })
