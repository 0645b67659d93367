import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerOptions,
  fastify,
  type RawServerDefault,
} from 'fastify'
import access from '../plugins/access.ts'
import auth from '../plugins/auth.ts'
import engine from '../plugins/engine.ts'
import feed from '../plugins/feed.ts'
import health from '../plugins/health.ts'
import addresses from '../plugins/http/addresses.ts'
import connections from '../plugins/http/connections.ts'
import cors from '../plugins/http/cors.ts'
import defaultHeaders from '../plugins/http/default-headers.ts'
import docs from '../plugins/http/docs.ts'
import errors from '../plugins/http/errors.ts'
import logging from '../plugins/http/logging.ts'
import methods from '../plugins/http/methods.ts'
import openapi from '../plugins/http/openapi.ts'
import playground from '../plugins/http/playground.ts'
import protocol from '../plugins/http/protocol.ts'
import requestId, { requestIdOf } from '../plugins/http/request-id.ts'
import strictQuery from '../plugins/http/strict-query.ts'
import tracing from '../plugins/http/tracing.ts'
import limits from '../plugins/limits.ts'
import metrics from '../plugins/metrics.ts'
import persistence from '../plugins/persistence.ts'
import rateLimit from '../plugins/rate-limit.ts'
import services from '../plugins/services.ts'
import streams from '../plugins/streams.ts'
import actionRoutes from '../routes/api/agent/actions/index.ts'
import agentRoutes from '../routes/api/agent/agents/index.ts'
import chatRoutes from '../routes/api/agent/chat/index.ts'
import conversationRoutes from '../routes/api/agent/conversations/index.ts'
import eventRoutes from '../routes/api/agent/events/index.ts'
import usageRoutes from '../routes/api/agent/usage/index.ts'
import webhookDeliveryRoutes from '../routes/api/agent/webhook-deliveries/index.ts'
import healthRoutes from '../routes/health.ts'
import homeRoutes from '../routes/index.ts'
import problemRoutes from '../routes/problems/index.ts'
import type { AgentRegister } from './agent/definition.ts'
import { agents as registered } from './agents/index.ts'
import type { AppConfig } from './config/config.ts'
import { refuseConnection } from './http/refuse-connection.ts'
import { RequestLog } from './http/request-log.ts'
import { serializerBuilder } from './http/serialization.ts'
import { routedTarget } from './http/target.ts'
import { acceptOnlyJson } from './http/validation/json-body.ts'
import { parseQuery } from './http/validation/query.ts'
import { validatorBuilder } from './http/validation/validation.ts'
import { logOptions } from './telemetry/log-options.ts'

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

declare module 'fastify' {
  interface FastifyInstance {
    /** Path of PUBLIC_URL without a slash at its end: what every address that leaves the service begins with. */
    publicPath: string
  }
}

export interface AppOptions {
  /** Where log lines go and how they look (pino's options); level and contents are the service's own. */
  logger?: Exclude<FastifyServerOptions['logger'], boolean | undefined>
  /** Other agents than those of `src/agents`. */
  agents?: AgentRegister
}

/** Bytes of a body. A history of a hundred long messages fits; the longest one that the schema allows does not. */
const BODY_LIMIT = 2 * 1024 * 1024

/**
 * Limit of request line and headers together. It is large on purpose: an id that is too long then gets the 400 or 404
 * of its route, where a smaller limit of the router would answer 414. Beyond it the answer is 431.
 */
const HEADERS_LIMIT = 128 * 1024

/** Builds the service, ready to `listen` or `inject`. Nothing is connected before `ready`. */
export function buildApp(config: AppConfig, options: AppOptions = {}): App {
  const { agents = registered } = options
  const publicPath =
    config.publicUrl === undefined ? '' : new URL(config.publicUrl).pathname.replace(/\/$/, '')
  const app = fastify({
    logger: { ...logOptions(config.logLevel), ...options.logger },
    logController: new RequestLog(),
    genReqId: requestIdOf,
    trustProxy: trusted(config.trustProxy),
    bodyLimit: BODY_LIMIT,
    requestTimeout: 30_000,
    keepAliveTimeout: config.keepAliveSeconds * 1000,
    rewriteUrl: ({ url = '' }) => routedTarget(url, publicPath),
    http: { maxHeaderSize: HEADERS_LIMIT, requireHostHeader: false },
    routerOptions: { maxParamLength: HEADERS_LIMIT, querystringParser: parseQuery },
    clientErrorHandler: refuseConnection,
    return503OnClosing: false,
    // `never`: Fastify's types only know compilers made by its own pool.
    schemaController: {
      compilersFactory: {
        buildValidator: validatorBuilder() as never,
        buildSerializer: serializerBuilder() as never,
      },
    },
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.decorate('publicPath', publicPath)
  acceptOnlyJson(app)

  // What every answer has, refusals included.
  app.register(requestId)
  app.register(logging, { config })
  app.register(tracing, { config })
  app.register(defaultHeaders)
  app.register(cors, { origins: config.corsOrigins })
  app.register(errors)
  app.register(health)
  app.register(connections, { config })
  app.register(metrics, { config, agents: Object.keys(agents) })
  app.register(protocol)
  app.register(addresses)

  // These look at every route and so come before all of them.
  app.register(access)
  app.register(strictQuery)
  app.register(openapi, { publicUrl: config.publicUrl })

  // Who calls, and how often: the hooks run in this order.
  app.register(limits, { config })
  app.register(auth, config.auth)
  app.register(rateLimit)

  // What the service works with: database, run engine, and the use cases over both.
  app.register(persistence, { config })
  app.register(engine, { config })
  app.register(services, { config, agents })
  app.register(streams, { config })
  app.register(feed, { config })

  // The addresses.
  app.register(chatRoutes, {
    agents,
    webhookOrigins: config.webhooks.allowedOrigins,
  })
  app.register(actionRoutes)
  app.register(agentRoutes)
  app.register(conversationRoutes)
  app.register(eventRoutes)
  app.register(usageRoutes)
  app.register(webhookDeliveryRoutes)
  app.register(healthRoutes)
  app.register(homeRoutes, { playground: config.playground })
  app.register(problemRoutes)
  app.register(docs, { config })
  if (config.playground) app.register(playground)
  app.register(methods) // last: answers for the methods that the others left out

  return app
}

/** Fastify reads a number of hops as "trust no proxy"; a function that counts them does what the operator means. */
function trusted(proxies: AppConfig['trustProxy']) {
  return typeof proxies === 'number' ? (_address: string, hop: number) => hop < proxies : proxies
}
