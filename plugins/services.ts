import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { v7 as uuid } from 'uuid'
import type { AgentRegister } from '../src/agent/definition.ts'
import type { AppConfig } from '../src/config/config.ts'
import { type ActionService, actionService } from '../src/services/actions/actions.ts'
import type { ServiceContext } from '../src/services/context.ts'
import { canceller } from '../src/services/end/canceller.ts'
import { endsSoon } from '../src/services/end/ends-soon.ts'
import { type Finalizer, finalizer } from '../src/services/end/finalizer.ts'
import { type AgentService, agentService } from '../src/services/read/agents.ts'
import { type ConversationService, conversationService } from '../src/services/read/conversations.ts'
import { type DeliveryService, deliveryService } from '../src/services/read/deliveries.ts'
import { type MessageService, messageService } from '../src/services/read/messages.ts'
import { type RunService, runService } from '../src/services/read/runs.ts'
import { type UsageService, usageService } from '../src/services/read/usage.ts'
import { type Waiters, waiters } from '../src/services/read/waiters.ts'
import { continuer } from '../src/services/start/continuer.ts'
import { dispatcher } from '../src/services/start/dispatcher.ts'
import { dispatches } from '../src/services/start/dispatches.ts'
import { resolver } from '../src/services/start/resolver.ts'
import { type TurnService, turnService } from '../src/services/start/turns.ts'
import { observer } from '../src/services/upkeep/observer.ts'
import { sweeper } from '../src/services/upkeep/sweeper.ts'
import { unstoredRuns } from '../src/services/upkeep/unstored-runs.ts'
import { type Lag, upkeep } from '../src/services/upkeep/upkeep.ts'
import { deliverer } from '../src/services/webhooks/deliverer.ts'
import type { DeliveryLag } from '../src/stores/deliveries.ts'
import { meteredPoster, meteredStores } from '../src/telemetry/metered.ts'
import { networks } from '../src/webhooks/networks.ts'
import { poster } from '../src/webhooks/post.ts'

declare module 'fastify' {
  interface FastifyInstance {
    services: {
      agents: AgentService
      turns: TurnService
      runs: RunService
      conversations: ConversationService
      messages: MessageService
      usage: UsageService
      deliveries: DeliveryService
      actions: ActionService
      waiters: Waiters
      settle: Finalizer['settle']
    }
    /** How far the sweeper is behind, read every few seconds; undefined while the lag is unknown. */
    sweeperLag(): Lag | undefined
    /** How late the webhooks are, read every few seconds; undefined while that is unknown, or without receivers. */
    webhookLag(): DeliveryLag | undefined
  }
}

/** How long the shutdown waits for a round of the sweeper that has begun. */
const BACKGROUND_MS = 3_000

/** The services that routes call, and the upkeep of the instance, such as the observer and the sweeper. */
const services: FastifyPluginAsync<{ config: AppConfig; agents: AgentRegister }> = async (
  app,
  { config, agents: register },
) => {
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
      budget: config.budget,
    },
  }
  const ends = finalizer(context)
  const waiting = waiters(app.stores.runs)
  const cancels = canceller(context, ends)
  const waitingStarts = dispatches(app.stores.turns)
  const dispatching = dispatcher(context, waitingStarts)
  const continuing = continuer(context, dispatching, waitingStarts)
  const resolving = resolver(context, waitingStarts, continuing)
  const unstored = unstoredRuns(context)
  const observing = observer(context, ends, unstored)
  const keeper = upkeep(context, sweeper(context, resolving, ends), unstored)
  const post = poster({ networks: networks(config.webhooks.allowedAddresses) })
  const delivering = deliverer(
    context,
    app.metrics === undefined ? post : meteredPoster(post, app.metrics),
    config.webhooks,
  )
  app.database.onRecovery(unstored.missed)
  ends.onSettled(waiting.wake)
  app.notices.onTold(delivering.wake)
  observing.onRunning(waiting.wake)
  const turns = turnService(context, {
    dispatcher: dispatching,
    dispatches: waitingStarts,
    resolver: resolving,
    canceller: cancels,
    continuer: continuing,
    endsSoon: endsSoon(ends),
    mayLackRow: unstored.mayLackRow,
  })
  const agents = agentService(register, {
    scoped: config.auth.agentScopes,
    environment: config.agentEnvironment,
  })
  app.decorate('services', {
    agents,
    turns,
    runs: runService(context, { waiters: waiting, canceller: cancels, adoptAtOnce: unstored.adoptAtOnce }),
    conversations: conversationService(context, cancels, agents),
    messages: messageService(context),
    usage: usageService(context),
    actions: actionService(context, continuing, agents, { approvers: config.approvers }),
    deliveries: deliveryService(context),
    waiters: waiting,
    settle: ends.settle,
  })

  app.decorate('sweeperLag', keeper.lag)
  app.decorate('webhookLag', delivering.lag)
  app.health.detail('runs', () => keeper.lag())
  // The tag is read from the database once, because starts need it even while the database is away.
  app.health.add('identity', () => context.tags.service())

  const stop = new AbortController()
  let background: Promise<unknown> = Promise.resolve()
  app.addHook('onListen', async () => {
    background = Promise.all([
      observing.watch(stop.signal),
      unstored.watch(stop.signal),
      keeper.run(stop.signal),
      delivering.run(stop.signal),
    ])
  })
  app.addHook('preClose', async () => waiting.release())
  app.addHook('onClose', async () => {
    stop.abort()
    // While the engine is away, a round may take longer than the drain. Every step of a round can be cut off safely.
    await Promise.race([background, sleep(BACKGROUND_MS, undefined, { ref: false })])
  })
}

/** The tag of the runs of this database; a Trigger.dev environment may serve several databases. */
function serviceTag(stores: ServiceContext['stores']): () => Promise<string> {
  let known: string | undefined
  return async () => (known ??= `service_${await stores.housekeeping.identity(uuid())}`)
}

export default fp(services, { name: 'services', fastify: '5.x', dependencies: ['persistence', 'engine'] })
