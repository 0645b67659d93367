import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../src/config/config.ts'
import { type Streams, streams } from '../src/streams/streams.ts'
import { meteredStreams } from '../src/telemetry/metered.ts'

declare module 'fastify' {
  interface FastifyInstance {
    streams: Streams
  }
}

/** The streams of this instance. A drain resets their connections before the server waits for them. */
const plugin: FastifyPluginAsync<{ config: Pick<AppConfig, 'streamsPerUser'> }> = async (app, { config }) => {
  const shown = streams(
    {
      engine: app.engine,
      waiters: app.services.waiters,
      progress: app.stores.runs.progress,
      settle: app.services.settle,
      log: app.log,
    },
    { perUser: config.streamsPerUser },
  )
  app.decorate('streams', app.metrics === undefined ? shown : meteredStreams(shown, app.metrics))
  app.addHook('preClose', async () => app.streams.drain())
  app.addHook('onClose', () => app.streams.close())
}

export default fp(plugin, { name: 'streams', fastify: '5.x', dependencies: ['services'] })
