import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

/** Request headers that the service and its tracing read. */
const REQUEST_HEADERS = [
  'authorization',
  'baggage',
  'content-type',
  'idempotency-key',
  'if-none-match',
  'last-event-id',
  'prefer',
  'sentry-trace',
  'traceparent',
  'tracestate',
  'x-effective-user',
  'x-request-id',
]

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

/** A list of header names (RFC 9110 §5.1), as browsers send it: in lower case. */
const HEADER_NAMES = /^[\w!#$%&'*+.^`|~-]+(, ?[\w!#$%&'*+.^`|~-]+)*$/
const MAX_HEADER_NAMES = 4096

/**
 * Lets pages of the configured origins (`*`: all) read answers; without origins the plugin does nothing. Tokens travel
 * in a header that scripts set, never in cookies, so credentials are not allowed.
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
      'access-control-allow-headers': allowedHeaders(request.headers['access-control-request-headers']),
      'access-control-max-age': PREFLIGHT_SECONDS,
    })
  })
  // In `onSend`, because routes set a `Vary` of their own before.
  app.addHook('onSend', async (_request, reply) => {
    const vary = reply.getHeader('vary')
    reply.header('vary', vary === undefined ? 'Origin' : `${vary}, Origin`)
  })
}

/**
 * The headers that the service reads, and every other header that the page of an allowed origin asks for: tracing and
 * SDKs add headers of their own, which the service ignores. An allowed header grants no access, because a page has only
 * the token that it sends itself.
 */
function allowedHeaders(wanted: string | undefined): string {
  if (wanted === undefined || wanted.length > MAX_HEADER_NAMES || !HEADER_NAMES.test(wanted))
    return REQUEST_HEADERS.join(', ')
  return [...new Set([...REQUEST_HEADERS, ...wanted.toLowerCase().split(/, ?/)])].join(', ')
}

export default fp(cors, { name: 'cors', fastify: '5.x' })
