import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { problem } from '../src/errors.ts'
import { createHealth, type Health } from '../src/health.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: Health
  }
}

/** Collects the checks of readiness, and refuses requests that arrive while the server is closing. */
const health: FastifyPluginAsync<{ now?: () => number }> = async (app, { now }) => {
  app.decorate('health', createHealth(now))
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
    app.health.drain()
  })
  app.addHook('onRequest', async () => {
    if (closing) throw problem('shutting_down', { headers: { connection: 'close' } })
  })
}

export default fp(health, { name: 'health', fastify: '5.x', dependencies: ['errors'] })
