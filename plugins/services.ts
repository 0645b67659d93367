import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { v7 as uuid } from 'uuid'
import type { AppConfig } from '../src/config.ts'
import { adoption } from '../src/services/adoption.ts'
import { canceller } from '../src/services/canceller.ts'
import type { ServiceContext } from '../src/services/context.ts'
import { type ConversationService, conversationService } from '../src/services/conversations.ts'
import { dispatcher } from '../src/services/dispatcher.ts'
import { type Finalizer, finalizer } from '../src/services/finalizer.ts'
import { observer } from '../src/services/observer.ts'
import { type RunService, runService } from '../src/services/runs.ts'
import { sweeper } from '../src/services/sweeper.ts'
import { type TurnService, turnService } from '../src/services/turns.ts'
import { unstoredRuns } from '../src/services/unstored-runs.ts'
import { type Lag, upkeep } from '../src/services/upkeep.ts'
import { type Waiters, waiters } from '../src/services/waiters.ts'
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
      largePayloads: config.trigger.largePayloads,
    },
  }
  const ended = finalizer(context)
  const waiting = waiters(app.stores.runs)
  const cancels = canceller(context, ended)
  const unstored = unstoredRuns(context)
  const dispatches = dispatcher(context, unstored)
  const adopts = adoption(context, unstored)
  const observes = observer(context, ended, adopts)
  const keeper = upkeep(context, sweeper(context, dispatches, ended), adopts)
  app.database.onRecovery(adopts.missed)
  ended.onSettled(waiting.nudge)
  observes.onRunning(waiting.nudge)
  const turns = turnService(context, dispatches, cancels, adopts, unstored)
  app.decorate('services', {
    turns: app.metrics === undefined ? turns : meteredTurns(turns, app.metrics),
    runs: runService(context, waiting, cancels),
    conversations: conversationService(context, cancels),
    waiters: waiting,
    settle: ended.settle,
  })

  app.decorate('sweeperLag', keeper.lag)
  app.health.detail('runs', () => keeper.lag())
  // Asked for once; starts need it even while the database is away.
  app.health.add('identity', () => context.tags.service())

  const stop = new AbortController()
  let background: Promise<unknown> = Promise.resolve()
  app.addHook('onListen', async () => {
    background = Promise.all([
      observes.watch(stop.signal),
      unstored.watch(stop.signal),
      keeper.run(stop.signal),
    ])
    // Whatever was unfinished when the last process ended is looked at now.
    await app.stores.sweeps.checkAllNow().catch(() => {})
  })
  app.addHook('preClose', async () => waiting.release())
  app.addHook('onClose', async () => {
    stop.abort()
    // A round with the engine away takes longer than a drain may; every step of it is safe to be cut off.
    await Promise.race([background, sleep(BACKGROUND_MS, undefined, { ref: false })])
    // Nobody hears any more how this instance's runs end: another one looks at once.
    await app.stores.sweeps.checkAllNow().catch(() => {})
  })
}

/** The tag of the runs of this database; a Trigger.dev environment may serve several. */
function serviceTag(stores: ServiceContext['stores']): () => Promise<string> {
  let known: string | undefined
  return async () => (known ??= `service_${await stores.sweeps.identity(uuid())}`)
}

export default fp(services, { name: 'services', fastify: '5.x', dependencies: ['persistence', 'engine'] })
