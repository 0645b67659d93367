import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { v7 as uuid } from 'uuid'
import type { AppConfig } from '../src/config.ts'
import type { ServiceContext } from '../src/services/context.ts'
import { canceller } from '../src/services/end/canceller.ts'
import { type Finalizer, finalizer } from '../src/services/end/finalizer.ts'
import { type ConversationService, conversationService } from '../src/services/read/conversations.ts'
import { type RunService, runService } from '../src/services/read/runs.ts'
import { type Waiters, waiters } from '../src/services/read/waiters.ts'
import { dispatcher } from '../src/services/start/dispatcher.ts'
import { dispatches } from '../src/services/start/dispatches.ts'
import { resolver } from '../src/services/start/resolver.ts'
import { type TurnService, turnService } from '../src/services/start/turns.ts'
import { observer } from '../src/services/upkeep/observer.ts'
import { sweeper } from '../src/services/upkeep/sweeper.ts'
import { unstoredRuns } from '../src/services/upkeep/unstored-runs.ts'
import { type Lag, upkeep } from '../src/services/upkeep/upkeep.ts'
import { meteredStores, meteredTurns } from '../src/telemetry/metered.ts'

declare module 'fastify' {
  interface FastifyInstance {
    services: {
      turns: TurnService
      runs: RunService
      conversations: ConversationService
      waiters: Waiters
      settle: Finalizer['settle']
    }
    /** How far the sweeper is behind, read every few seconds; undefined while that cannot be known. */
    sweeperLag(): Lag | undefined
  }
}

/** How long the end waits for a round of the sweeper that has begun. */
const BACKGROUND_MS = 3_000

/** The use cases, and what works beside the requests: the observer, the sweeper. */
const services: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  const context: ServiceContext = {
    stores: app.metrics === undefined ? app.stores : meteredStores(app.stores, app.metrics),
    engine: app.engine,
    log: app.log,
    tags: { instance: `instance_${uuid()}`, service: serviceTag(app.stores) },
    settings: {
      ...config.run,
      retentionDays: config.retentionDays,
      conversationRetentionDays: config.conversationRetentionDays,
      largePayloads: config.trigger.largePayloads,
    },
  }
  const ends = finalizer(context)
  const waiting = waiters(app.stores.runs)
  const cancels = canceller(context, ends)
  const waitingStarts = dispatches(app.stores.turns)
  const dispatching = dispatcher(context, waitingStarts)
  const resolving = resolver(context, waitingStarts)
  const unstored = unstoredRuns(context)
  const observing = observer(context, ends, unstored)
  const keeper = upkeep(context, sweeper(context, resolving, ends), unstored)
  app.database.onRecovery(unstored.missed)
  ends.onSettled(waiting.wake)
  observing.onRunning(waiting.wake)
  const turns = turnService(context, {
    dispatcher: dispatching,
    dispatches: waitingStarts,
    resolver: resolving,
    canceller: cancels,
    mayLackRow: unstored.mayLackRow,
  })
  app.decorate('services', {
    turns: app.metrics === undefined ? turns : meteredTurns(turns, app.metrics),
    runs: runService(context, waiting, cancels),
    conversations: conversationService(context, cancels),
    waiters: waiting,
    settle: ends.settle,
  })

  app.decorate('sweeperLag', keeper.lag)
  app.health.detail('runs', () => keeper.lag())
  // Asked for once; starts need it even while the database is away.
  app.health.add('identity', () => context.tags.service())

  const stop = new AbortController()
  let background: Promise<unknown> = Promise.resolve()
  app.addHook('onListen', async () => {
    background = Promise.all([
      observing.watch(stop.signal),
      unstored.watch(stop.signal),
      keeper.run(stop.signal),
    ])
  })
  app.addHook('preClose', async () => waiting.release())
  app.addHook('onClose', async () => {
    stop.abort()
    // A round with the engine away takes longer than a drain may; every step of it is safe to be cut off.
    await Promise.race([background, sleep(BACKGROUND_MS, undefined, { ref: false })])
  })
}

/** The tag of the runs of this database; a Trigger.dev environment may serve several. */
function serviceTag(stores: ServiceContext['stores']): () => Promise<string> {
  let known: string | undefined
  return async () => (known ??= `service_${await stores.housekeeping.identity(uuid())}`)
}

export default fp(services, { name: 'services', fastify: '5.x', dependencies: ['persistence', 'engine'] })
