import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_AGENT, type TurnLimits } from '../../agent/turn.ts'
import type { Caller } from '../../caller.ts'
import { isFinished } from '../../engine/run-status.ts'
import { problem } from '../../errors.ts'
import { isAway, neverSent } from '../../stores/database.ts'
import type { NewTurn, StartOutcome } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import type { AgentChoice } from './agent-choice.ts'
import type { Continuer } from './continuer.ts'
import type { AskedBeside, Dispatcher, DispatchOptions } from './dispatcher.ts'
import type { Dispatches } from './dispatches.ts'
import { buildPayload } from './engine-payload.ts'
import { interrupt } from './interruption.ts'
import { newTurn, type RetryRequest, type TurnRequest } from './new-turn.ts'
import { refusal } from './refusal.ts'
import type { Resolver } from './resolver.ts'
import { steer } from './steering.ts'

export interface TurnOptions {
  agents: AgentChoice
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
   * Makes the turn of a request, without a call to the database or to the engine.
   * @throws Problem `engine_payload_too_large`; why the request may not use the agent that it names
   */
  prepare(caller: Caller, request: TurnRequest | RetryRequest, options: TurnOptions): PreparedTurn
}

export interface PreparedTurn {
  /** Whether the turn is a replay; false while the database is away. */
  isReplay(): Promise<boolean>
  /**
   * Gives the turn its place, or finds the turn that its key stands for. The start has ten seconds from here on.
   * @throws Problem the refusals of a start (docs/api.md#3-start); nothing is stored then
   */
  place(): Promise<PlacedTurn>
}

/** A turn that has its place and no run yet. */
export interface PlacedTurn {
  /** Dispatches the turn once and returns its run; for a known key, returns the run of the first start. */
  start(): Promise<StartedRun>
}

export interface TurnParts {
  dispatcher: Dispatcher
  dispatches: Dispatches
  resolver: Resolver
  canceller: Canceller
  continuer: Continuer
  /** Waits a short time for the end of a run, which may have ended without being stored yet. @returns whether it has */
  endsSoon: (runId: string) => Promise<boolean>
  /** Whether the engine may have a run of this start that has no row, because it was started without the database. */
  mayLackRow: (turn: NewTurn) => boolean
}

/** How long a start may take, including the database, the wait for the turns ahead, and the engine. */
export const START_MS = 10_000
/** Pause before the second try. It is a little longer than the breaker refuses calls after a failed one. */
const SECOND_TRY_MS = 1_200
const REPLAY_WAIT_MS = 10_000
const WIND_UP_SECONDS = 5

export function turnService(context: ServiceContext, parts: TurnParts): TurnService {
  const { stores, log } = context
  const { dispatcher, dispatches, resolver, canceller } = parts

  /** Stores the turn. If the statement could not be sent, it is tried once more, since an outage may be short. */
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
    const { conversationId = turn.conversationId, message = turn.message, superseded = [] } = placed
    if (message === undefined) throw new Error('start_turn returned no message for a retry')
    if (turn.idempotencyKey !== null && parts.mayLackRow(turn)) {
      const runId = await takeOver(turn, { turnId: turn.turnId, deleted: false }, false)
      if (typeof runId === 'string') return { runId, conversationId, replayed: false }
    }
    // The turns go on before this one begins. What fails here is done by the sweeper.
    for (const waiting of placed.continuations ?? []) void parts.continuer.go(waiting).catch(() => {})
    const unfinished = [...superseded, ...(turn.ifBusy === 'interrupt' ? placed.ahead : [])]
    const behind =
      turn.ifBusy === 'interrupt' || unfinished.length > 0
        ? await interrupt(context, { canceller, dispatches }, { ...placed, conversationId }, unfinished)
        : placed
    const stored = { ...turn, ...placed, ...behind, conversationId, message }
    const runId = await dispatcher.dispatch(stored, options)
    if (turn.ifBusy === 'steer') await steer(context, { dispatches, runId }, placed.ahead)
    return { runId, conversationId, replayed: false }
  }

  /**
   * Gives a turn the run that the engine has for its key.
   * @returns the run; else the number of runs that the key has, none of which can be its answer
   */
  async function takeOver(turn: NewTurn, known: { turnId: string; deleted: boolean }, patient: boolean) {
    const { turnId, deleted } = known
    const runs = await resolver.runsOf({ ...turn, turnId }, { purpose: 'read', patient })
    if (deleted) {
      // The conversation of the turn was deleted, so its run is cancelled and the key gets a new turn.
      for (const { runId, status } of runs) if (!isFinished(status)) await context.engine.cancel(runId)
      return runs.length
    }
    const run = runs.find(({ status }) => status !== 'cancelled')
    if (run === undefined) return runs.length
    const recorded = await stores.turns.record(turnId, run.runId, { revive: true })
    dispatches.wake(turnId)
    if (recorded.state === 'other') return recorded.runId
    if (recorded.state !== 'recorded') return runs.length
    await stores.sweeps.checkIn(run.runId, 0) // The run may have ended before it was recorded.
    return run.runId
  }

  /**
   * Handles a retry whose first start ended without an answer of the engine. If the engine has a run for the key, the
   * first turn goes on with that run; else a new turn replaces it.
   */
  async function startAgain(
    turn: NewTurn,
    known: { turnId: string; deleted: boolean },
    { agents, ...options }: DispatchOptions & { agents: AgentChoice },
  ): Promise<StartedRun> {
    const found = await takeOver(turn, known, true)
    if (typeof found === 'string') {
      const [state] = await stores.turns.states([known.turnId])
      return { runId: found, ...named(state?.conversationId), replayed: false }
    }
    const outcome = await stores.turns.start(turn, known.turnId)
    if (outcome.outcome === 'created') return startStored(turn, outcome, { ...options, cancelledRuns: found })
    if (outcome.outcome === 'replay') return replay(outcome)
    throw refusal(outcome, turn, agents)
  }

  /** Starts a run while the database is away. The run gets its rows when the database is back. */
  async function startUnstored(turn: NewTurn, options: DispatchOptions): Promise<StartedRun> {
    const { turnId, userId, actor, message, metadata = {}, idempotencyKey, requestHash, webhook } = turn
    if (message === undefined) throw problem('database_unavailable')
    log.warn({ turnId }, 'starting a run without storing it: the database is away')
    if (idempotencyKey !== null) {
      const runs = await resolver.runsOf(turn, { purpose: 'read', patient: true })
      const run = runs.find(({ status }) => status !== 'cancelled')
      if (run !== undefined) return { runId: run.runId, replayed: false }
      // Why the run of the key was cancelled stands in the database alone.
      if (runs.length > 0) throw problem('database_unavailable')
    }
    const history = turn.seed.map((message) => ({ ...message, position: 0 }))
    const origin = {
      ...{ userId, actor, metadata, idempotencyKey, requestHash },
      ...(webhook === undefined ? {} : { webhook }),
    }
    const agent = turn.agent ?? DEFAULT_AGENT
    const parts = { ...turn, agent, message, conversationId: null, history, ahead: [], origin }
    return { runId: await dispatcher.send(parts, turn, options), replayed: false }
  }

  /** Repeats the answer of the first start of the key. Waits while that start is still dispatching its turn. */
  async function replay({ turnId, runId, conversationId }: Extract<StartOutcome, { outcome: 'replay' }>) {
    const result = runId === null ? await dispatches.result(turnId, REPLAY_WAIT_MS) : { runId }
    // The first start is still dispatching, or it has failed. If it has failed, the next retry makes a new turn.
    if (result?.runId === undefined) throw problem('idempotency_in_progress')
    return { runId: result.runId, ...named(conversationId), replayed: true }
  }

  async function place(
    turn: NewTurn,
    { asked, agents }: { asked: AskedBeside; agents: AgentChoice },
  ): Promise<PlacedTurn> {
    const options = { deadline: performance.now() + START_MS, asked, agents }
    let outcome = await store(turn).catch((error: unknown) => {
      if (isAway(error) && turn.newConversation) return undefined
      throw error
    })
    // A page hears of a failure from the stream, a moment before the end of the run is stored.
    if (outcome?.outcome === 'live' && (await parts.endsSoon(outcome.activeRunId)))
      outcome = await store(turn)
    if (outcome === undefined) return { start: () => startUnstored(turn, options) }
    if (outcome.outcome === 'created') return { start: () => startStored(turn, outcome, options) }
    if (outcome.outcome === 'unresolved') return { start: () => startAgain(turn, outcome, options) }
    if (outcome.outcome === 'replay') return { start: () => replay(outcome) }
    throw refusal(outcome, turn, agents)
  }

  async function isReplay({ userId, idempotencyKey }: NewTurn): Promise<boolean> {
    if (idempotencyKey === null) return false
    return stores.turns.knowsKey(userId, idempotencyKey).catch((error: unknown) => {
      if (isAway(error)) return false
      throw error
    })
  }

  return {
    prepare(caller, request, { idempotencyKey = null, traceparent, agents }) {
      const turn = newTurn(caller, request, { idempotencyKey, agents: agents.usable })
      const agent = turn.agent ?? (turn.newConversation ? DEFAULT_AGENT : undefined)
      if (agent !== undefined && !agents.usable.includes(agent)) throw agents.refusal(agent)
      const { userId, actor = null, scopes = [] } = caller
      const { limits, responseFormat } = request
      const asked = {
        traceparent,
        caller: { userId, actor, scopes },
        context: request.context,
        limits: limits && withinDuration(limits, context.settings.maxDurationSeconds),
        responseFormat,
      }
      const { message } = turn
      if (message !== undefined)
        buildPayload({ ...turn, message, history: [], ahead: [], ...asked }, context.settings)
      return { isReplay: () => isReplay(turn), place: () => place(turn, { asked, agents }) }
    },
  }
}

/** The engine ends a run at its maximal duration as failed, so a limit of time ends the turn a little before that. */
function withinDuration(limits: TurnLimits, seconds: number): TurnLimits {
  const { maxSeconds } = limits
  const most = Math.max(1, seconds - WIND_UP_SECONDS)
  return maxSeconds === undefined ? limits : { ...limits, maxSeconds: Math.min(maxSeconds, most) }
}

const named = (conversationId: string | null | undefined) =>
  conversationId === null || conversationId === undefined ? {} : { conversationId }
