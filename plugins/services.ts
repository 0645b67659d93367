import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { v7 as uuid } from 'uuid'
import type { AppConfig } from '../src/config.ts'
import { canceller } from '../src/services/canceller.ts'
import type { ServiceContext } from '../src/services/context.ts'
import { type ConversationService, conversationService } from '../src/services/conversations.ts'
import { dispatcher } from '../src/services/dispatcher.ts'
import { finalizer } from '../src/services/finalizer.ts'
import { observer } from '../src/services/observer.ts'
import { type RunService, runService } from '../src/services/runs.ts'
import { sweeper } from '../src/services/sweeper.ts'
import { type TurnService, turnService } from '../src/services/turns.ts'
import { type Waiters, waiters } from '../src/services/waiters.ts'

declare module 'fastify' {
  interface FastifyInstance {
    services: {
      turns: TurnService
      runs: RunService
      conversations: ConversationService
      waiters: Waiters
    }
  }
}

/** The use cases, and what works beside the requests: the observer, the sweeper. */
const services: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  const context: ServiceContext = {
    stores: app.stores,
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
  const dispatches = dispatcher(context)
  const observes = observer(context, ended)
  const sweeps = sweeper(context, dispatches, ended)
  ended.onSettled(waiting.nudge)
  observes.onRunning(waiting.nudge)
  app.decorate('services', {
    turns: turnService(context, dispatches, cancels),
    runs: runService(context, waiting, cancels),
    conversations: conversationService(context, cancels),
    waiters: waiting,
  })

  const stop = new AbortController()
  let background: Promise<unknown> = Promise.resolve()
  app.addHook('onListen', async () => {
    background = Promise.all([observes.watch(stop.signal), sweeps.run(stop.signal)])
    // Whatever was unfinished when the last process ended is looked at now.
    await app.stores.sweeps.checkAllNow().catch(() => {})
  })
  app.addHook('preClose', async () => waiting.release())
  app.addHook('onClose', async () => {
    stop.abort()
    await background
  })
}

/** The tag of the runs of this database; a Trigger.dev environment may serve several. */
function serviceTag(stores: ServiceContext['stores']): () => Promise<string> {
  let known: string | undefined
  return async () => (known ??= `service_${await stores.sweeps.identity(uuid())}`)
}

export default fp(services, { name: 'services', fastify: '5.x', dependencies: ['persistence', 'engine'] })
