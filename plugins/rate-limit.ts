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
  }
}

/** Charges every route for the bucket that it declares, as soon as it is known who calls. */
const rateLimit: FastifyPluginAsync = async (app) => {
  app.decorateRequest('charge', async () => {
    throw problem('internal', { cause: 'charged before the caller was known' })
  })
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return
    const { bucket } = request.routeOptions.config
    if (bucket === undefined) return
    request.charge = (chosen) => app.limits.charge(request, reply, chosen)
    if (bucket !== 'handler') await request.charge(bucket)
  })
}

export default fp(rateLimit, { name: 'rate-limit', fastify: '5.x', dependencies: ['auth', 'limits'] })
