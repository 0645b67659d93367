import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { v7 as uuid } from 'uuid'
import type { TurnMessage } from '../agent/turn.ts'
import type { Caller } from '../caller.ts'
import { problem } from '../errors.ts'
import { isAway, neverSent } from '../stores/database.ts'
import type { Metadata } from '../stores/schema.ts'
import type { NewTurn, StartedTurn, StartOutcome } from '../stores/turns.ts'
import type { Adoption } from './adoption.ts'
import type { Canceller } from './canceller.ts'
import type { ServiceContext } from './context.ts'
import type { Dispatcher, DispatchOptions } from './dispatcher.ts'
import { buildPayload } from './engine-payload.ts'
import { interrupt } from './interruption.ts'
import type { UnstoredRuns } from './unstored-runs.ts'

/** What a caller asks for: the body of start, sync and stream (contract §3). */
export interface TurnRequest {
  message: string
  /** Prior turns; used only when the conversation is new. */
  history?: Array<{ role: 'user' | 'assistant'; content: string }>
  conversationId?: string
  ifBusy?: 'enqueue' | 'reject' | 'interrupt'
  metadata?: Metadata
}

export interface TurnOptions {
  idempotencyKey?: string
  traceparent?: string
  /** Takes the price of the request from the caller's budget; throws 429. */
  charge(bucket: 'start' | 'read'): Promise<void>
}

export interface StartedRun {
  runId: string
  /** Absent only when the conversation could not be stored. */
  conversationId?: string
  replayed: boolean
}

export interface TurnService {
  /** Starts the turn once and returns its run; replays it when the Idempotency-Key is known. */
  start(caller: Caller, request: TurnRequest, options: TurnOptions): Promise<StartedRun>
}

const TITLE_CODE_POINTS = 100
/** How long a start may take in all, whatever is slow: the database, the runs ahead, the engine. */
const START_MS = 10_000
/** A little longer than the database refuses calls after one that failed. */
const SECOND_TRY_MS = 1_200
const REPLAY_WAIT_MS = 10_000
const REPLAY_LOOK_MS = 50

export function turnService(
  context: ServiceContext,
  dispatcher: Dispatcher,
  canceller: Canceller,
  adoption: Adoption,
  unstored: UnstoredRuns,
): TurnService {
  const { stores, log } = context
  /** Turns with a key that are being stored. */
  const storing = new Map<string, Promise<unknown>>()

  return {
    async start(caller, request, { idempotencyKey, traceparent, charge }) {
      const since = performance.now()
      const deadline = since + START_MS
      const turn = newTurn(caller, request, idempotencyKey ?? null)
      buildPayload({ ...turn, history: [], ahead: [], traceparent }, context.settings)
      const outcome = await inLine(turn, async () => {
        await charge((await isReplay(turn)) ? 'read' : 'start')
        return store(turn).catch((error: unknown) => {
          if (!isAway(error)) throw error
          if (turn.newConversation) return undefined
          // The answer may have been lost, not the statement: what it wrote must not be run.
          adoption.takeBack(turn)
          throw error
        })
      })
      if (outcome === undefined) return startUnstored(turn, { traceparent, deadline, since })
      switch (outcome.outcome) {
        case 'created':
          return startStored(turn, outcome, { traceparent, deadline, since })
        case 'replay':
          return replay(outcome.turnId, outcome)
        case 'mismatch':
          throw problem('idempotency_key_mismatch')
        case 'conversation_not_found':
          throw problem('conversation_not_found')
        case 'busy':
          throw problem('conversation_busy', { members: { activeRunId: outcome.activeRunId } })
        case 'queue_full':
          throw problem('conversation_queue_full', { members: { activeRunId: outcome.activeRunId } })
      }
    },
  }

  /** An outage may be a moment long: a turn that was not sent is tried once more before it goes without its row. */
  async function store(turn: NewTurn): Promise<StartOutcome> {
    return stores.turns.start(turn).catch(async (error: unknown) => {
      if (!isAway(error) || !neverSent(error)) throw error
      await sleep(SECOND_TRY_MS)
      return stores.turns.start(turn)
    })
  }

  /**
   * Of the requests with one key that come at the same time, the first pays for a start; the others wait until
   * its turn is stored, or refused, and pay for a replay.
   */
  async function inLine<T>({ userId, idempotencyKey }: NewTurn, work: () => Promise<T>): Promise<T> {
    if (idempotencyKey === null) return work()
    const line = JSON.stringify([userId, idempotencyKey])
    const first = storing.get(line)
    if (first !== undefined) {
      await first.catch(() => {}) // What became of it, its own caller is told.
      return work()
    }
    const working = work()
    storing.set(line, working)
    try {
      return await working
    } finally {
      storing.delete(line)
    }
  }

  /** With the database away a key is looked up nowhere: the engine's own key keeps the start single. */
  async function isReplay({ userId, idempotencyKey }: NewTurn): Promise<boolean> {
    if (idempotencyKey === null) return false
    return stores.turns.knowsKey(userId, idempotencyKey).catch((error: unknown) => {
      if (isAway(error)) return false
      throw error
    })
  }

  async function startStored(turn: NewTurn, started: StartedTurn, options: DispatchOptions) {
    const behind = turn.ifBusy === 'interrupt' ? await interrupt(context, canceller, started) : {}
    const { userId, idempotencyKey } = turn
    const runId = await dispatcher.dispatch(
      { ...started, ...behind, userId, idempotencyKey },
      { ...options, outage: adoption.isBehind() },
    )
    return { runId, conversationId: started.conversationId, replayed: false }
  }

  /** The database is away: the run goes ahead all the same and is adopted when it is back. */
  async function startUnstored(
    turn: NewTurn,
    { traceparent, deadline }: DispatchOptions,
  ): Promise<StartedRun> {
    log.warn({ turnId: turn.turnId }, 'starting a run without storing it: the database is away')
    const { turnId, userId, actor, metadata, idempotencyKey, requestHash, message, assistantMessageId } = turn
    const origin = { userId, actor, metadata, idempotencyKey, requestHash }
    const runId = await dispatcher.sendUnstored(
      { ...turn, conversationId: null, history: seedTurns(turn.seed), ahead: [], traceparent, origin },
      turn,
      deadline,
    )
    const input = { message, conversationId: null, newConversation: false, assistantMessageId }
    unstored.remember({ turnId, runId, ...origin, input, createdAt: new Date() })
    return { runId, replayed: false }
  }

  /** The first answer again; while the first request is still being dispatched, wait for it. */
  async function replay(turnId: string, first: { runId: string | null; conversationId: string | null }) {
    let runId = first.runId
    for (const until = performance.now() + REPLAY_WAIT_MS; runId === null; ) {
      if (performance.now() > until) throw problem('idempotency_in_progress')
      await sleep(REPLAY_LOOK_MS)
      const [pending] = await stores.turns.pending([turnId])
      // Withdrawn or abandoned: the first request has failed, the next one starts anew.
      if (pending === undefined || pending.status === 'abandoned') throw problem('idempotency_in_progress')
      runId = pending.runId
    }
    return {
      runId,
      ...(first.conversationId === null ? {} : { conversationId: first.conversationId }),
      replayed: true,
    }
  }
}

function newTurn(caller: Caller, request: TurnRequest, idempotencyKey: string | null): NewTurn {
  const { message, history = [], conversationId, ifBusy = 'enqueue', metadata = {} } = request
  return {
    turnId: uuid(),
    userId: caller.userId,
    actor: caller.actor ?? null,
    conversationId: conversationId?.toLowerCase() ?? uuid(),
    newConversation: conversationId === undefined,
    title: conversationId === undefined ? titleOf(message) : null,
    seed: conversationId === undefined ? history.map(({ role, content }) => textMessage(role, content)) : [],
    message: textMessage('user', message),
    assistantMessageId: uuid(),
    metadata,
    ifBusy,
    idempotencyKey,
    requestHash:
      idempotencyKey === null ? null : hashOf({ message, history, conversationId, ifBusy, metadata }),
  }
}

function textMessage(role: 'user' | 'assistant', text: string): TurnMessage & { text: string } {
  return { id: uuid(), role, text, parts: [{ type: 'text', text }] }
}

/**
 * The first 100 code points of the message, line breaks as spaces (CR LF is one). A message that begins with so
 * many blanks that nothing would be seen is titled from its first visible character on.
 */
function titleOf(message: string): string {
  const title = beginning(message)
  const visible = /\S/.test(title) ? title : beginning(message.slice(Math.max(message.search(/\S/), 0)))
  return visible.replace(/\r\n|[\r\n\u2028\u2029]/g, ' ')
}

/** Cut before it is spread: a code point has at most two code units, a message may have 100,000. */
const beginning = (text: string) =>
  [...text.slice(0, 2 * TITLE_CODE_POINTS)].slice(0, TITLE_CODE_POINTS).join('')

/** The canonical form of a turn: key order and absent defaults make no difference. */
function hashOf(
  turn: Required<Omit<TurnRequest, 'conversationId'>> & { conversationId?: string | undefined },
): string {
  const canonical = [
    turn.message,
    turn.conversationId?.toLowerCase() ?? null,
    turn.ifBusy,
    turn.history.map(({ role, content }) => [role, content]),
    Object.entries(turn.metadata).sort(([a], [b]) => (a < b ? -1 : 1)),
  ]
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex')
}

const seedTurns = (seed: TurnMessage[]) => seed.map((message) => ({ ...message, position: 0 }))
