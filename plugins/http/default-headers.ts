import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

/** Headers of every answer, unless a route sets its own: no cache keeps the answer, no client guesses its type. */
const defaultHeaders: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' })
    done()
  })
}

export default fp(defaultHeaders, { name: 'default-headers', fastify: '5.x' })
