import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { TurnRequest } from '../services/start/new-turn.ts'
import type { PlacedTurn, StartedRun, TurnOptions } from '../services/start/turns.ts'
import { turnOptions } from './turn-options.ts'

/**
 * Starts a turn at the price that the contract names: a start, or a read when the Idempotency-Key is known (docs/api.md,
 * "Start"). Of the requests with one key that reach this instance together, the first one pays for a start; the others
 * wait until its turn has its place, or was refused, and pay for a replay.
 * @throws Problem 429 before anything is stored, and what `TurnService` throws
 */
export type StartTurn = (request: FastifyRequest, turn: TurnRequest) => Promise<StartedRun>

export function startTurn(app: Pick<FastifyInstance, 'services'>): StartTurn {
  const underway = new Map<string, Promise<PlacedTurn>>()
  const { turns } = app.services

  async function place(
    request: FastifyRequest,
    turn: TurnRequest,
    options: TurnOptions,
  ): Promise<PlacedTurn> {
    const { idempotencyKey: key } = options
    const isReplay = key !== undefined && (await turns.knowsKey(request.caller, key))
    await request.charge(isReplay ? 'read' : 'start')
    return turns.place(request.caller, turn, options)
  }

  return async (request, turn) => {
    const options = turnOptions(request)
    if (options.idempotencyKey === undefined) return (await place(request, turn, options)).start()
    const line = JSON.stringify([request.caller.userId, options.idempotencyKey])
    // What becomes of the request in front, its own caller is told.
    await underway.get(line)?.catch(() => {})
    const placing = place(request, turn, options)
    underway.set(line, placing)
    try {
      return await (await placing).start()
    } finally {
      if (underway.get(line) === placing) underway.delete(line)
    }
  }
}
