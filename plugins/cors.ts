import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

const REQUEST_HEADERS = [
  'authorization',
  'content-type',
  'idempotency-key',
  'if-none-match',
  'last-event-id',
  'prefer',
  'x-effective-user',
  'x-request-id',
].join(', ')

const EXPOSED_HEADERS = [
  'etag',
  'idempotency-replayed',
  'location',
  'preference-applied',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'www-authenticate',
  'x-conversation-id',
  'x-request-id',
  'x-run-id',
].join(', ')

const PREFLIGHT_SECONDS = 600

/**
 * Lets browsers of the configured origins (`*`: all) read answers; without origins it does nothing. Tokens
 * travel in a header that scripts set, never in cookies, so credentials are not allowed.
 */
const cors: FastifyPluginAsync<{ origins: string[] }> = async (app, { origins }) => {
  if (origins.length === 0) return
  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers
    if (origin === undefined || !(origins.includes('*') || origins.includes(origin))) return
    reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': EXPOSED_HEADERS })
    const { allow } = request.routeOptions.config ?? {}
    if (request.method !== 'OPTIONS' || allow === undefined) return
    reply.headers({
      'access-control-allow-methods': allow.join(', '),
      'access-control-allow-headers': REQUEST_HEADERS,
      'access-control-max-age': PREFLIGHT_SECONDS,
    })
  })
  // At the end, because routes set a `Vary` of their own.
  app.addHook('onSend', async (_request, reply) => {
    const vary = reply.getHeader('vary')
    reply.header('vary', vary === undefined ? 'Origin' : `${vary}, Origin`)
  })
}

export default fp(cors, { name: 'cors', fastify: '5.x' })
