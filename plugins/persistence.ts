import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { sql } from 'kysely'
import type { AppConfig } from '../src/config.ts'
import type { Stores } from '../src/services/context.ts'
import { MAX_HISTORY_MESSAGES, MAX_PAYLOAD_BYTES } from '../src/services/start/engine-payload.ts'
import { START_MS } from '../src/services/start/turns.ts'
import { conversationStore } from '../src/stores/conversations.ts'
import { type Database, openDatabase } from '../src/stores/database.ts'
import { housekeepingStore } from '../src/stores/housekeeping.ts'
import { runEndStore } from '../src/stores/run-ends.ts'
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

/** Unfinished turns that a conversation may have; the next start gets 409 `conversation_queue_full`. */
const QUEUE_LIMIT = 10
/** Twice what a payload may hold: messages are measured as stored, and cut when they are sent. */
const HISTORY_BYTES = 2 * MAX_PAYLOAD_BYTES
/** A run that has not ended so long after its time is ended by the sweeper. */
const GRACE_SECONDS = 120

/** The database and the stores over it. Nothing is connected before the first query. */
const persistence: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  const database = openDatabase({ ...config.database, log: app.log })
  app.decorate('database', database)
  const stores: Stores = {
    turns: turnStore(database, {
      queueLimit: QUEUE_LIMIT,
      maxMessages: MAX_HISTORY_MESSAGES,
      maxBytes: HISTORY_BYTES,
      // When the lease ends, the start has given up, and the engine's lists show the run that it may have made.
      leaseSeconds: Math.ceil((START_MS + config.trigger.listLagMs) / 1000),
      deadlineSeconds: config.run.ttlSeconds + config.run.maxDurationSeconds + GRACE_SECONDS,
    }),
    runs: runStore(database),
    ends: runEndStore(database, { executionSeconds: config.run.maxDurationSeconds + GRACE_SECONDS }),
    conversations: conversationStore(database),
    sweeps: sweepStore(database),
    housekeeping: housekeepingStore(database),
  }
  app.decorate('stores', app.currentSpan === undefined ? stores : tracedStores(stores, app.currentSpan))
  app.health.add('database', () => database.run((db) => sql`select 1`.execute(db)))
  app.addHook('onClose', () => database.close())
}

export default fp(persistence, { name: 'persistence', fastify: '5.x', dependencies: ['health', 'tracing'] })
