import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { sql } from 'kysely'
import type { AppConfig } from '../src/config.ts'
import type { Stores } from '../src/services/context.ts'
import { conversationStore } from '../src/stores/conversations.ts'
import { type Database, openDatabase } from '../src/stores/database.ts'
import { runStore } from '../src/stores/runs.ts'
import { sweepStore } from '../src/stores/sweeps.ts'
import { turnStore } from '../src/stores/turns.ts'
import { tracedStores } from '../src/telemetry/traced-stores.ts'

declare module 'fastify' {
  interface FastifyInstance {
    database: Database
    stores: Stores
  }
}

/** Unfinished runs that a conversation may have; the next start gets 409 `conversation_queue_full`. */
const QUEUE_LIMIT = 10
/** A dispatch takes at most 10 s; one that nobody finished by then is looked at. */
const CHECK_SECONDS = 15
/** More than a payload takes: its last answer may be longer, and is cut then. */
const HISTORY_BYTES = 1024 * 1024
/** Past ttl and duration, a run that nobody ended is ended by the sweeper. */
const GRACE_SECONDS = 120

/** The database and the stores over it. Nothing is connected before the first query. */
const persistence: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  const database = openDatabase({ ...config.database, log: app.log })
  app.decorate('database', database)
  const stores: Stores = {
    turns: turnStore(database, {
      queueLimit: QUEUE_LIMIT,
      maxMessages: 50,
      maxBytes: HISTORY_BYTES,
      checkSeconds: CHECK_SECONDS,
      deadlineSeconds: config.run.ttlSeconds + config.run.maxDurationSeconds + GRACE_SECONDS,
    }),
    runs: runStore(database),
    conversations: conversationStore(database),
    sweeps: sweepStore(database),
  }
  app.decorate('stores', app.currentSpan === undefined ? stores : tracedStores(stores, app.currentSpan))
  app.health.add('database', () => database.run((db) => sql`select 1`.execute(db)))
  app.addHook('onClose', () => database.close())
}

export default fp(persistence, { name: 'persistence', fastify: '5.x', dependencies: ['health', 'tracing'] })
