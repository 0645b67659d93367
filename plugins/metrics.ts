import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import manifest from '../package.json' with { type: 'json' }
import type { AppConfig } from '../src/config.ts'
import { explainListen } from '../src/lifecycle/start-error.ts'
import { createMetrics, type Metrics } from '../src/telemetry/metrics.ts'
import { type MetricsServer, serveMetrics } from '../src/telemetry/metrics-server.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined without METRICS_PORT. */
    metrics: Metrics | undefined
    /** Where they are served, once the service is ready. */
    metricsPort: number | undefined
  }
}

/** Counts requests, and serves all metrics on a port of their own. Without METRICS_PORT it does nothing. */
const metrics: FastifyPluginAsync<{ config: Pick<AppConfig, 'host' | 'metricsPort' | 'database'> }> = async (
  app,
  { config },
) => {
  const { metricsPort: port, host } = config
  const counted = port === undefined ? undefined : createMetrics(manifest.version)
  app.decorate('metrics', counted)
  app.decorate('metricsPort', undefined)
  if (counted === undefined || port === undefined) return

  app.addHook('onRequest', async (request, reply) => {
    const since = performance.now()
    counted.requestStarted()
    // Comes once for every answer, complete or not; Fastify's own hooks miss streams that break off.
    reply.raw.once('close', () => {
      const status = reply.raw.writableFinished ? String(reply.statusCode) : 'aborted'
      counted.requestEnded({ ...labels(request), status }, (performance.now() - since) / 1000)
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
      components: async () => (await app.health.look()).components,
    })
    server = await serveMetrics(counted.registry, { host, port }).catch((error: unknown) => {
      throw explainListen(error, { host, port }, 'METRICS_PORT')
    })
    app.metricsPort = server.port
  })
}

/**
 * No label comes from a caller. All requests for addresses that do not exist share one method, and so do all methods
 * that an address does not have: otherwise a caller without a token could multiply the series.
 */
function labels({ is404, method, query, routeOptions }: FastifyRequest) {
  const { url = 'none', config } = routeOptions
  if (is404) return { method: 'other', route: 'none', held: 'no' }
  if (config.allow !== undefined) return { method: 'other', route: url, held: 'no' }
  const waits = url === POLL && Object.hasOwn(query ?? {}, 'wait')
  return { method, route: url, held: waits || /\/(stream|sync)$/.test(url) ? 'yes' : 'no' }
}

/** The one route whose answers wait when the caller asks for it; streams and syncs always do. */
const POLL = '/api/agent/chat/:runId'

export default fp(metrics, { name: 'metrics', fastify: '5.x', dependencies: ['health'] })
