import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../src/config/config.ts'
import { type Feed, feed } from '../src/feed/feed.ts'

declare module 'fastify' {
  interface FastifyInstance {
    feed: Feed
  }
}

/** The feed of this instance. A drain resets its connections before the server waits for them. */
const plugin: FastifyPluginAsync<{ config: Pick<AppConfig, 'streamsPerUser' | 'feedReadMs'> }> = async (
  app,
  { config },
) => {
  const { streamsPerUser, feedReadMs } = config
  const bounds = {
    perUser: streamsPerUser,
    ...(feedReadMs === undefined ? {} : { readMs: feedReadMs }),
  }
  app.decorate('feed', feed({ store: app.stores.feed, log: app.log }, bounds))
  app.notices.onTold(app.feed.wake)
  app.addHook('preClose', async () => app.feed.drain())
  app.addHook('onClose', () => app.feed.close())
}

export default fp(plugin, { name: 'feed', fastify: '5.x', dependencies: ['persistence'] })
