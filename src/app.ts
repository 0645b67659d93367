import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerOptions,
  fastify,
  type RawServerDefault,
} from 'fastify'
import errors, { refuse } from '../plugins/errors.ts'
import requestId, { requestIdOf } from '../plugins/request-id.ts'
import type { AppConfig } from './config.ts'
import { acceptOnlyJson } from './http/json-body.ts'
import { buildValidator } from './http/validation.ts'

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export interface AppOptions {
  /** Where log lines go and how they look (pino's options); level and contents are the service's own. */
  logger?: Exclude<FastifyServerOptions['logger'], boolean | undefined>
}

/** 2 MiB: the longest history that the schema allows does not fit, a hundred long messages do. */
const BODY_LIMIT = 2 * 1024 * 1024

/** Ids are checked by their routes; a length limit in the router would answer 414 instead of 404. */
const MAX_PARAM_LENGTH = 65_536

/** Builds the service, ready to `listen` or `inject`. Nothing is connected before `ready`. */
export function buildApp(config: AppConfig, options: AppOptions = {}): App {
  const app = fastify({
    logger: { level: config.logLevel, ...options.logger },
    disableRequestLogging: true,
    requestIdLogLabel: 'requestId',
    genReqId: requestIdOf,
    trustProxy: trusted(config.trustProxy),
    bodyLimit: BODY_LIMIT,
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: refuse,
    return503OnClosing: false,
    // `never`: Fastify's types only know compilers made by its own pool.
    schemaController: { compilersFactory: { buildValidator: buildValidator as never } },
  }).withTypeProvider<TypeBoxTypeProvider>()
  acceptOnlyJson(app)

  // What every answer has, whatever becomes of the request.
  app.register(requestId)
  app.register(errors)

  // Who calls, and how often.

  // What the service works with: database, run engine.

  // The addresses.

  return app
}

/** Fastify takes a number of hops for "nobody"; the operator who counts them means it. */
function trusted(proxies: AppConfig['trustProxy']) {
  return typeof proxies === 'number' ? (_address: string, hop: number) => hop < proxies : proxies
}
