import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import manifest from '../package.json' with { type: 'json' }
import type { AppConfig } from '../src/config/config.ts'
import { explainListen } from '../src/start-error.ts'
import { createMetrics, type Metrics, type RequestLabels } from '../src/telemetry/metrics.ts'
import { type MetricsServer, serveMetrics } from '../src/telemetry/metrics-server.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined without METRICS_PORT. */
    metrics: Metrics | undefined
    /** The port on which metrics are served, once the service is ready. */
    metricsPort: number | undefined
  }
}

/** Counts requests, and serves all metrics on a port of their own. Without METRICS_PORT the plugin does nothing. */
const metrics: FastifyPluginAsync<{
  config: Pick<AppConfig, 'host' | 'metricsPort' | 'database' | 'webhooks'>
  agents: readonly string[]
}> = async (app, { config, agents }) => {
  const { metricsPort: port, host } = config
  const counted =
    port === undefined ? undefined : createMetrics(manifest.version, receiversOf(config), agents)
  app.decorate('metrics', counted)
  app.decorate('metricsPort', undefined)
  if (counted === undefined || port === undefined) return

  app.addHook('onRequest', async (request, reply) => {
    const since = performance.now()
    counted.requestStarted()
    // `close` comes once for every answer, complete or not; Fastify's own hooks miss streams that break off.
    reply.raw.once('close', () => {
      const status = reply.raw.writableFinished ? String(reply.statusCode) : 'aborted'
      counted.requestEnded(
        { ...labels(request, reply.statusCode), status },
        (performance.now() - since) / 1000,
      )
    })
  })

  let server: MetricsServer | undefined
  app.addHook('onClose', async () => server?.close())
  app.addHook('onReady', async () => {
    counted.read({
      pool: () => app.database.pool(),
      poolMax: config.database.poolMax,
      uncounted: () => app.limits.uncounted,
      streams: () => app.streams.stats(),
      sweeps: () => app.sweeperLag(),
      webhooks: () => app.webhookLag(),
      feed: () => app.feed.stats(),
      components: async () => (await app.health.readiness()).components,
    })
    server = await serveMetrics(counted.registry, { host, port }).catch((error: unknown) => {
      throw explainListen(error, { host, port }, 'METRICS_PORT')
    })
    app.metricsPort = server.port
  })
}

/** The receivers of webhooks, as the metrics call them. */
const receiversOf = ({ webhooks: { endpoints, allowedOrigins } }: Pick<AppConfig, 'webhooks'>) => [
  ...endpoints.map(({ name }) => name),
  ...(allowedOrigins.length === 0 ? [] : ['start']),
]

/** The labels of requests that no route has let in, so that callers without a token cannot add series. */
const REFUSED = { method: 'other', route: 'other', held: 'no' } as const

/** No label comes from a caller: a route and its method are named for those whom the route let in. */
function labels(request: FastifyRequest, status: number): Omit<RequestLabels, 'status'> {
  const { method, query, routeOptions, caller, is404 } = request
  const { url = 'other', config } = routeOptions
  // The routes that answer for wrong methods and preflights are public too; they alone declare `allow`.
  const isLetIn = caller !== undefined || (config.access === 'public' && config.allow === undefined)
  if (is404 || !isLetIn) return REFUSED
  const isLong = /\/(stream|sync|events)$/.test(url) || waitOf(query) > 0
  return { method, route: url, held: isLong && status < 400 ? 'yes' : 'no' }
}

/** The seconds of `?wait=`: read before and after its validation, which makes a number of it. */
const waitOf = (query: unknown): number => Number((query as { wait?: unknown } | null)?.wait ?? 0)

export default fp(metrics, { name: 'metrics', fastify: '5.x', dependencies: ['health'] })
