import type { FastifyPluginAsync, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Scope } from '../src/auth/claims.ts'
import type { Bucket } from '../src/limits/buckets.ts'

/**
 * Every route declares in its `config` who may call it: `{ access: 'public' }`, or
 * `{ scope: 'agent:read', bucket: 'read' }`. The process does not start when a declaration is missing. With the bucket
 * `handler` the route calls `request.charge(…)` itself.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** The address of every route registered so far. */
    urls: readonly string[]
  }
  interface FastifyContextConfig {
    access?: 'public'
    scope?: Scope
    bucket?: Bucket | 'handler'
  }
}

/** This plugin checks only routes that are registered after it. */
const access: FastifyPluginAsync = async (app) => {
  const routes: RouteOptions[] = []
  const urls: string[] = []
  app.decorate('urls', urls)
  app.addHook('onRoute', (route) => {
    routes.push(route)
    urls.push(route.url)
  })
  app.addHook('onReady', async () => {
    const open = routes.filter((route) => !isDeclared(route)).map(({ method, url }) => `${method} ${url}`)
    if (open.length > 0) throw new Error(`routes that do not declare who may call them: ${open.join(', ')}`)
  })
}

function isDeclared({ config }: RouteOptions): boolean {
  if (config?.access === 'public') return config.scope === undefined
  return config?.scope !== undefined && config.bucket !== undefined
}

export default fp(access, { name: 'access', fastify: '5.x' })
