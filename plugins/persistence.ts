import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { sql } from 'kysely'
import type { AppConfig } from '../src/config/config.ts'
import type { Stores } from '../src/services/context.ts'
import { MAX_HISTORY_MESSAGES, MAX_PAYLOAD_BYTES } from '../src/services/start/engine-payload.ts'
import { START_MS } from '../src/services/start/turns.ts'
import { actionStore } from '../src/stores/actions.ts'
import { budgetStore } from '../src/stores/budgets.ts'
import { conversationStore } from '../src/stores/conversations.ts'
import { type Database, openDatabase } from '../src/stores/database.ts'
import { deliveryStore } from '../src/stores/deliveries.ts'
import { deliveryListStore } from '../src/stores/delivery-list.ts'
import { feedStore } from '../src/stores/feed.ts'
import { housekeepingStore } from '../src/stores/housekeeping.ts'
import { messageStore } from '../src/stores/messages.ts'
import { type Notices, notices } from '../src/stores/notices.ts'
import { runEndStore } from '../src/stores/run-ends.ts'
import { runStore } from '../src/stores/runs.ts'
import { sweepStore } from '../src/stores/sweeps.ts'
import { tellingStores } from '../src/stores/telling-stores.ts'
import { turnStore } from '../src/stores/turns.ts'
import { usageStore } from '../src/stores/usage.ts'
import { tracedStores } from '../src/telemetry/traced-stores.ts'

declare module 'fastify' {
  interface FastifyInstance {
    database: Database
    stores: Stores
    /** Tells when instances have written events. */
    notices: Notices
  }
}

/** Unfinished turns that a conversation may have; the next start gets 409 `conversation_queue_full`. */
const QUEUE_LIMIT = 10
/** Places that an edit may replace, all in one statement. */
const EDIT_LIMIT = 500
/** Twice what a payload may hold: messages are measured as stored, and cut when they are sent. */
const HISTORY_BYTES = 2 * MAX_PAYLOAD_BYTES
/** Seconds after the time limit of a run at which the sweeper ends the run. */
const GRACE_SECONDS = 120

/** The database and the stores over it. Nothing is connected before the first query. */
const persistence: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  const database = openDatabase({ ...config.database, log: app.log })
  app.decorate('database', database)
  const context = {
    maxMessages: MAX_HISTORY_MESSAGES,
    maxBytes: HISTORY_BYTES,
    // When the lease ends, the start has given up, and the engine's lists show the run that it may have made.
    leaseSeconds: Math.ceil((START_MS + config.trigger.listLagMs) / 1000),
  }
  const noticing = notices({ url: config.database.url, database, log: app.log })
  app.decorate('notices', noticing)
  const plain: Stores = {
    turns: turnStore(database, {
      ...context,
      queueLimit: QUEUE_LIMIT,
      editLimit: EDIT_LIMIT,
      ...(config.budget === undefined ? {} : { budget: config.budget }),
      deadlineSeconds: config.run.ttlSeconds + config.run.maxDurationSeconds + GRACE_SECONDS,
    }),
    runs: runStore(database),
    ends: runEndStore(database, { executionSeconds: config.run.maxDurationSeconds + GRACE_SECONDS }),
    conversations: conversationStore(database),
    messages: messageStore(database),
    sweeps: sweepStore(database),
    housekeeping: housekeepingStore(database),
    usage: usageStore(database),
    budgets: budgetStore(database),
    deliveries: deliveryStore(database),
    deliveryList: deliveryListStore(database),
    feed: feedStore(database),
    actions: actionStore(database, context),
  }
  const stores = tellingStores(plain, noticing.tell)
  app.decorate('stores', app.currentSpan === undefined ? stores : tracedStores(stores, app.currentSpan))
  app.health.add('database', () => database.run((db) => sql`select 1`.execute(db)))
  const stop = new AbortController()
  app.addHook('onListen', async () => void noticing.listen(stop.signal))
  app.addHook('onClose', async () => {
    stop.abort() // A server that does not answer must not hold up the end of this instance.
    await database.close()
  })
}

export default fp(persistence, { name: 'persistence', fastify: '5.x', dependencies: ['health', 'tracing'] })
