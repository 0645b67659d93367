import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { problem } from '../src/errors.ts'
import type { Bucket } from '../src/limits/buckets.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Takes one from the caller's bucket; for routes with `bucket: 'handler'`, once they know what they cost.
     * @throws Problem `rate_limited`
     */
    charge(bucket: Bucket): Promise<void>
    /** The route has yet to say what the request costs. */
    uncharged: boolean
  }
}

/**
 * Charges every route for the bucket that it declares, as soon as it is known who calls. Where the route decides
 * itself, what is refused before it could is a read: no start, but not for nothing either.
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
