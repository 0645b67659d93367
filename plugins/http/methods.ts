import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyPluginAsync, HTTPMethods } from 'fastify'
import fp from 'fastify-plugin'
import { problem } from '../../src/errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Methods of the address, on the routes that answer for the other methods. */
    allow?: string[]
  }
}

/**
 * Answers the methods for which an address has no route: OPTIONS with 204, others with 405, both with `Allow`, and
 * before a token is checked or a body is read. Has to be registered after all routes.
 */
const methods: FastifyPluginAsync = async (app) => {
  for (const method of METHODS) if (isForeign(method, app)) app.addHttpMethod(method)
  for (const [url, own] of methodsByUrl(app)) {
    const allow = [...own, 'OPTIONS']
    const shared = { url, config: { access: 'public' as const, allow }, schema: { hide: true } }
    app.route({
      ...shared,
      method: 'OPTIONS',
      handler: async (_request, reply) => reply.code(204).header('allow', allow.join(', ')).send(),
    })
    app.route({
      ...shared,
      method: app.supportedMethods.filter((method) => !allow.includes(method)),
      onRequest: async () => {
        throw problem('method_not_allowed', {
          detail: `Allowed here: ${allow.join(', ')}.`,
          headers: { allow: allow.join(', ') },
        })
      },
      handler: async () => undefined,
    })
  }
}

/** Whether Node reads a method that Fastify does not route. CONNECT is left out, because it names no path. */
const isForeign = (method: string, app: FastifyInstance) =>
  method !== 'CONNECT' && !app.supportedMethods.includes(method as HTTPMethods)

/** Two addresses that differ only in the name of a parameter are the same address, also to the router. */
function methodsByUrl(app: FastifyInstance): Map<string, string[]> {
  const urls = Map.groupBy(new Set(app.urls), (url) => url.replaceAll(/:\w+/g, ':'))
  return new Map(
    [...urls.values()].map((variants) => [
      variants[0] ?? '',
      app.supportedMethods.filter((method) => variants.some((url) => app.hasRoute({ url, method }))),
    ]),
  )
}

export default fp(methods, { name: 'methods', fastify: '5.x', dependencies: ['access', 'errors'] })
