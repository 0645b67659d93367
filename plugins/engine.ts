import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../src/config/config.ts'
import type { RunEngine } from '../src/engine/run-engine.ts'
import { triggerRunEngine } from '../src/engine/trigger/adapter.ts'
import { meteredEngine } from '../src/telemetry/metered.ts'
import { tracedEngine } from '../src/telemetry/traced-engine.ts'

declare module 'fastify' {
  interface FastifyInstance {
    engine: RunEngine
  }
}

/** The run engine: Trigger.dev, or the local engine that speaks its API. */
const engine: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  const adapter = triggerRunEngine({
    ...config.trigger,
    log: app.log,
    ...(app.metrics === undefined ? {} : { onCall: app.metrics.engineCall }),
  })
  const traced = app.tracing === undefined ? adapter : tracedEngine(adapter, app.tracing.tracer)
  app.decorate('engine', app.metrics === undefined ? traced : meteredEngine(traced, app.metrics))
  app.health.add('engine', () => adapter.ping())
}

export default fp(engine, { name: 'engine', fastify: '5.x', dependencies: ['health', 'metrics', 'tracing'] })
