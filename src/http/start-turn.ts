import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AgentRegister } from '../agent/definition.ts'
import type { RetryRequest, TurnRequest } from '../services/start/new-turn.ts'
import type { PlacedTurn, PreparedTurn, StartedRun } from '../services/start/turns.ts'
import { meteredStart } from '../telemetry/metered.ts'
import { checkResponseFormat } from './response-format.ts'
import { agentCheck } from './turn-agent.ts'
import { turnOptions } from './turn-options.ts'
import { webhookCheck } from './turn-webhook.ts'

/**
 * Starts a turn at the price that the contract names: a start, or a read when the Idempotency-Key is known
 * (docs/api.md#3-start). Of the requests with one key that reach this instance together, the first one pays for a
 * start. The others wait until its turn has its place, or was refused, and pay for a replay.
 * @throws Problem 429 before anything is stored, and what `TurnService` throws
 */
export type StartTurn = (request: FastifyRequest, turn: TurnRequest | RetryRequest) => Promise<StartedRun>

/** The options with which the routes that start turns are registered. */
export interface TurnRoutes {
  /** The agents that may be asked. */
  agents: AgentRegister
  /** Origins that the `webhook` of requests may have. */
  webhookOrigins: readonly string[]
}

export function startTurn(
  app: Pick<FastifyInstance, 'services' | 'metrics'>,
  { agents, webhookOrigins }: TurnRoutes,
): StartTurn {
  const choose = agentCheck(agents, app.services.agents)
  const checkWebhook = webhookCheck(webhookOrigins)
  const underway = new Map<string, Promise<PlacedTurn>>()
  const { turns } = app.services

  async function place(request: FastifyRequest, prepared: PreparedTurn): Promise<PlacedTurn> {
    await request.charge((await prepared.isReplay()) ? 'read' : 'start')
    return prepared.place()
  }

  const start: StartTurn = async (request, turn) => {
    const options = turnOptions(request)
    const choice = choose(request.caller, turn)
    checkResponseFormat(turn.responseFormat)
    checkWebhook(turn.webhook)
    const prepared = turns.prepare(request.caller, turn, { ...options, agents: choice })
    if (options.idempotencyKey === undefined) return (await place(request, prepared)).start()
    const line = JSON.stringify([request.caller.userId, options.idempotencyKey])
    // A failure of the request in front is reported to the caller of that request alone.
    await underway.get(line)?.catch(() => {})
    const placing = place(request, prepared)
    underway.set(line, placing)
    try {
      return await (await placing).start()
    } finally {
      if (underway.get(line) === placing) underway.delete(line)
    }
  }
  return app.metrics === undefined ? start : meteredStart(start, app.metrics)
}
