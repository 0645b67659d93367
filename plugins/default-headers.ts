import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

/** Answers belong to one caller and are what they say they are; a route may know better. */
const defaultHeaders: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' })
  })
}

export default fp(defaultHeaders, { name: 'default-headers', fastify: '5.x' })
