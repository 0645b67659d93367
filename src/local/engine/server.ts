import Fastify, { type FastifyInstance } from 'fastify'
import { endpointOf, HttpError, notImplemented } from './answers.ts'
import { authenticate } from './auth.ts'
import type { RouteContext } from './context.ts'
import type { EngineLog } from './log.ts'
import { rateLimiter } from './rate-limit.ts'
import { objectStoreRoutes, packetRoutes } from './routes-packets.ts'
import { realtimeRoutes } from './routes-realtime.ts'
import { runRoutes } from './routes-runs.ts'
import { streamRoutes } from './routes-streams.ts'
import { tokenRoutes } from './routes-tokens.ts'
import { triggerRoutes } from './routes-trigger.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** The HTTP side of the engine: the part of Trigger.dev's API that the service and its task use. */
export function buildServer(context: RouteContext, log: EngineLog): FastifyInstance {
  const app = Fastify({
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 2048 },
  })
  const methods = new Map<string, Set<string>>()
  const limit = rateLimiter(context.switches)

  // Routes read their bodies themselves: streams line by line, all others by schema. The content type is ignored.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))

  app.setErrorHandler((error, request, reply) => {
    // No route reads the rest of this body, so the client may stop sending it.
    if (!request.raw.complete) {
      reply.header('connection', 'close')
      request.raw.resume()
    }
    if (error instanceof HttpError && error.status === 501) log.warn({}, `local engine: ${error.message}`)
    if (error instanceof HttpError) return reply.code(error.status).headers(error.headers).send(error.body)
    log.error({ err: error }, 'the local engine could not answer a request')
    return reply.code(500).send({ error: 'Something went wrong' })
  })

  app.get('/healthcheck', async () => 'OK')
  objectStoreRoutes(app, context)

  app.register(async (api) => {
    api.addHook('onRoute', ({ url, method }) => {
      const known = methods.get(url) ?? new Set()
      for (const name of [method].flat()) known.add(name)
      methods.set(url, known)
    })
    api.addHook('onRequest', async (request, reply) => {
      // A real server limits requests by key. A request without a key goes on to the authentication, which refuses it.
      if (request.url.startsWith('/api/') && request.headers.authorization) limit(reply)
      request.apiCaller = await authenticate(request, context.secretKey)
    })
    tokenRoutes(api)
    triggerRoutes(api, context)
    runRoutes(api, context)
    packetRoutes(api, context)
    streamRoutes(api, context)
    realtimeRoutes(api, context)
    for (const [url, known] of [...methods]) {
      const method = METHODS.filter((name) => !known.has(name))
      api.route({ url, method, handler: async (_request, reply) => reply.code(405).send() })
    }
  })

  app.setNotFoundHandler(async (request) => {
    throw notImplemented(endpointOf(request))
  })
  return app
}
