import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { problem } from '../src/errors.ts'

/**
 * `/api/agent/chat/` is not a run without an id, whatever the router says: it is no address at all. Otherwise a
 * slash too many would be 405 for a start. Comes before everything that goes by the route.
 */
const emptyIds: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async ({ params }) => {
    for (const [name, value] of Object.entries(params ?? {}))
      if (value === '' && name !== '*') throw problem('not_found')
  })
}

export default fp(emptyIds, { name: 'empty-ids', fastify: '5.x', dependencies: ['errors'] })
