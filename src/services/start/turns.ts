import { setTimeout as sleep } from 'node:timers/promises'
import type { Caller } from '../../caller.ts'
import { isFinished } from '../../engine/run-status.ts'
import { type Problem, problem } from '../../errors.ts'
import { isAway, neverSent } from '../../stores/database.ts'
import type { NewTurn, StartOutcome } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import type { Dispatcher, DispatchOptions } from './dispatcher.ts'
import type { Dispatches } from './dispatches.ts'
import { buildPayload } from './engine-payload.ts'
import { interrupt } from './interruption.ts'
import { newTurn, type TurnRequest } from './new-turn.ts'
import type { Resolver } from './resolver.ts'

export interface TurnOptions {
  idempotencyKey?: string
  /** W3C trace context of the request. */
  traceparent?: string
}

export interface StartedRun {
  runId: string
  /** Absent only when the conversation could not be stored. */
  conversationId?: string
  replayed: boolean
}

export interface TurnService {
  /**
   * Makes the turn of a request; nothing is asked or stored yet.
   * @throws Problem `engine_payload_too_large`
   */
  prepare(caller: Caller, request: TurnRequest, options: TurnOptions): PreparedTurn
}

export interface PreparedTurn {
  /** Whether the turn is a replay. False while the database is away: nothing can tell then. */
  isReplay(): Promise<boolean>
  /**
   * Gives the turn its place, or finds the turn that its key stands for. The start has ten seconds from here on.
   * @throws Problem the refusals of a start (docs/api.md#3-start); nothing is stored then
   */
  place(): Promise<PlacedTurn>
}

/** A turn that has its place, and whose run is still to come. */
export interface PlacedTurn {
  /** Dispatches the turn once and returns its run; for a known key, returns the run of the first start. */
  start(): Promise<StartedRun>
}

export interface TurnParts {
  dispatcher: Dispatcher
  dispatches: Dispatches
  resolver: Resolver
  canceller: Canceller
  /** Whether a run of this start may exist that has no row, because it was started without the database. */
  mayLackRow: (turn: NewTurn) => boolean
}

/** How long a start may take in all, with the database, the turns ahead of it and the engine. */
export const START_MS = 10_000
/** A little longer than the database refuses calls after one that failed. */
const SECOND_TRY_MS = 1_200
const REPLAY_WAIT_MS = 10_000

export function turnService(context: ServiceContext, parts: TurnParts): TurnService {
  const { stores, log } = context
  const { dispatcher, dispatches, resolver, canceller } = parts

  /** An outage may be a moment long: a turn that was not sent is tried once more before it goes without its row. */
  async function store(turn: NewTurn): Promise<StartOutcome> {
    return stores.turns.start(turn).catch(async (error: unknown) => {
      if (!isAway(error) || !neverSent(error)) throw error
      await sleep(SECOND_TRY_MS)
      return stores.turns.start(turn)
    })
  }

  async function startStored(
    turn: NewTurn,
    placed: Extract<StartOutcome, { outcome: 'created' }>,
    options: DispatchOptions,
  ): Promise<StartedRun> {
    const { conversationId } = turn
    if (turn.idempotencyKey !== null && parts.mayLackRow(turn)) {
      const runId = await takeOver(turn, { turnId: turn.turnId, deleted: false }, false)
      if (typeof runId === 'string') return { runId, conversationId, replayed: false }
    }
    const behind =
      turn.ifBusy === 'interrupt'
        ? await interrupt(context, { canceller, dispatches }, { ...placed, conversationId })
        : placed
    const runId = await dispatcher.dispatch({ ...turn, ...placed, ...behind }, options)
    return { runId, conversationId, replayed: false }
  }

  /**
   * Gives a turn the run that the engine has for its key.
   * @returns the run; else the number of runs that the key has, none of which can be its answer
   */
  async function takeOver(turn: NewTurn, known: { turnId: string; deleted: boolean }, patient: boolean) {
    const { turnId, deleted } = known
    const runs = await resolver.runsOf({ ...turn, turnId }, { kind: 'look', patient })
    if (deleted) {
      // Its contents are gone, and with them the answer: the run is stopped, and the key begins anew.
      for (const { runId, status } of runs) if (!isFinished(status)) await context.engine.cancel(runId)
      return runs.length
    }
    const run = runs.find(({ status }) => status !== 'cancelled')
    if (run === undefined) return runs.length
    const recorded = await stores.turns.record(turnId, run.runId, { revive: true })
    dispatches.wake(turnId)
    if (recorded.state === 'other') return recorded.runId
    if (recorded.state !== 'recorded') return runs.length
    await stores.sweeps.checkIn(run.runId, 0) // It may have ended while nothing waited for its end.
    return run.runId
  }

  /**
   * The first start of the key ended without an answer of the engine. Its turn goes on with the run that the engine
   * has; without one the turn is replaced by a new one.
   */
  async function startAgain(
    turn: NewTurn,
    known: { turnId: string; deleted: boolean },
    options: DispatchOptions,
  ): Promise<StartedRun> {
    const found = await takeOver(turn, known, true)
    if (typeof found === 'string') {
      const [state] = await stores.turns.states([known.turnId])
      return { runId: found, ...named(state?.conversationId), replayed: false }
    }
    const outcome = await stores.turns.start(turn, known.turnId)
    if (outcome.outcome === 'created') return startStored(turn, outcome, { ...options, cancelledRuns: found })
    if (outcome.outcome === 'replay') return replay(outcome)
    throw refusal(outcome)
  }

  /** The database is away: the run goes ahead all the same and gets its row when the database is back. */
  async function startUnstored(turn: NewTurn, options: DispatchOptions): Promise<StartedRun> {
    const { turnId, userId, actor, metadata, idempotencyKey, requestHash } = turn
    log.warn({ turnId }, 'starting a run without storing it: the database is away')
    if (idempotencyKey !== null) {
      const runs = await resolver.runsOf(turn, { kind: 'look', patient: true })
      const run = runs.find(({ status }) => status !== 'cancelled')
      if (run !== undefined) return { runId: run.runId, replayed: false }
      // Only the database can say what became of a start whose run was cancelled.
      if (runs.length > 0) throw problem('database_unavailable')
    }
    const history = turn.seed.map((message) => ({ ...message, position: 0 }))
    const origin = { userId, actor, metadata, idempotencyKey, requestHash }
    const parts = { ...turn, conversationId: null, history, ahead: [], origin }
    return { runId: await dispatcher.send(parts, turn, options), replayed: false }
  }

  /** The first answer again; while the first request is still being dispatched, it is waited for. */
  async function replay({ turnId, runId, conversationId }: Extract<StartOutcome, { outcome: 'replay' }>) {
    const result = runId === null ? await dispatches.result(turnId, REPLAY_WAIT_MS) : { runId }
    // Still under way, or it has failed: then the next request with the key starts anew.
    if (result?.runId === undefined) throw problem('idempotency_in_progress')
    return { runId: result.runId, ...named(conversationId), replayed: true }
  }

  async function place(turn: NewTurn, traceparent: string | undefined): Promise<PlacedTurn> {
    const options = { deadline: performance.now() + START_MS, traceparent }
    const outcome = await store(turn).catch((error: unknown) => {
      if (isAway(error) && turn.newConversation) return undefined
      throw error
    })
    if (outcome === undefined) return { start: () => startUnstored(turn, options) }
    if (outcome.outcome === 'created') return { start: () => startStored(turn, outcome, options) }
    if (outcome.outcome === 'unresolved') return { start: () => startAgain(turn, outcome, options) }
    if (outcome.outcome === 'replay') return { start: () => replay(outcome) }
    throw refusal(outcome)
  }

  async function isReplay({ userId, idempotencyKey }: NewTurn): Promise<boolean> {
    if (idempotencyKey === null) return false
    return stores.turns.knowsKey(userId, idempotencyKey).catch((error: unknown) => {
      if (isAway(error)) return false
      throw error
    })
  }

  return {
    prepare(caller, request, { idempotencyKey, traceparent }) {
      const turn = newTurn(caller, request, idempotencyKey ?? null)
      buildPayload({ ...turn, history: [], ahead: [], traceparent }, context.settings)
      return { isReplay: () => isReplay(turn), place: () => place(turn, traceparent) }
    },
  }
}

const named = (conversationId: string | null | undefined) =>
  conversationId === null || conversationId === undefined ? {} : { conversationId }

/** The refusal of a start that made no turn. */
function refusal(outcome: Exclude<StartOutcome, { outcome: 'created' | 'replay' }>): Problem {
  switch (outcome.outcome) {
    case 'unresolved':
      return problem('idempotency_in_progress')
    case 'mismatch':
      return problem('idempotency_key_mismatch')
    case 'conversation_not_found':
      return problem('conversation_not_found')
    case 'busy':
      return problem('conversation_busy', { members: { activeRunId: outcome.activeRunId } })
    case 'queue_full':
      return problem('conversation_queue_full', { members: { activeRunId: outcome.activeRunId } })
  }
}
