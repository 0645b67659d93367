import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AGENT_TASK_ID } from '../../agent/turn.ts'
import { DispatchError } from '../../engine/engine-error.ts'
import type { Recorded, TurnAhead } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import { type StartOrigin, startTag, turnTag, unstoredTag } from '../run-tags.ts'
import type { Dispatches } from './dispatches.ts'
import { buildPayload, type PayloadParts, type PlacedRun } from './engine-payload.ts'

export interface Dispatcher {
  /**
   * Hands a stored turn to the engine, behind the turns ahead of it, and records its run. Rejects with 503, 502 or 413:
   * the turn was then removed, or abandoned when the engine may have a run for it.
   * @returns the engine's run id
   */
  dispatch(turn: StoredTurn, options: DispatchOptions): Promise<string>
  /** Hands a turn to the engine that has no row, because the database is away. @returns the engine's run id */
  send(parts: PayloadParts, origin: StartOrigin, options: DispatchOptions): Promise<string>
}

/** The parts of a request that go into the payload of the run and are stored in no table. */
export type AskedBeside = Pick<
  PayloadParts,
  'traceparent' | 'caller' | 'context' | 'limits' | 'responseFormat'
>

export type StoredTurn = Omit<PayloadParts, 'ahead' | keyof AskedBeside> &
  StartOrigin & { position: number; ahead: TurnAhead[] }

export interface DispatchOptions {
  asked: AskedBeside
  /** When the start must be over, by `performance.now()`. This moment is before the end of the turn's lease. */
  deadline: number
  /** Number of cancelled runs of the same key. The engine would answer the key with one of them. */
  cancelledRuns?: number
}

/** The time that the wait for the turns ahead leaves for the engine call. */
const MIN_SEND_MS = 2_000
/** Attempts to record a run id while the database is away. They end before the sweeper resolves the turn. */
const RECORD_ATTEMPTS = 5
const RECORD_PAUSE_MS = 1_200
const SECONDS_PER_DAY = 86_400

/** Only the start that created a turn may dispatch it, until the lease ends; see docs/architecture.md#the-life-of-a-turn. */
export function dispatcher(context: ServiceContext, dispatches: Dispatches): Dispatcher {
  const { stores, engine, log, tags, settings } = context

  async function send(parts: PayloadParts, origin: StartOrigin, options: DispatchOptions): Promise<string> {
    const payload = buildPayload({ ...parts, ...options.asked }, settings)
    const places = [await tags.service(), tags.instance]
    if (parts.origin !== undefined) places.push(await unstoredTag(tags))
    const left = Math.round(options.deadline - performance.now())
    // After a pause of this process the sweeper may have removed the turn: it must not be sent any more.
    if (left <= 0) throw new DispatchError('engine_unavailable', 'refused')
    return engine.start(payload, {
      engineKey: engineKey(origin, options.cancelledRuns ?? 0),
      concurrencyKey: parts.conversationId ?? parts.turnId,
      tags: [...places, ...new Set([startTag(origin), turnTag(origin.turnId)])],
      ttlSeconds: settings.ttlSeconds,
      maxDurationSeconds: settings.maxDurationSeconds,
      keySeconds: settings.retentionDays * SECONDS_PER_DAY,
      deadlineMs: left,
    })
  }

  /** The engine executes runs in the order of their starts, so a turn is sent only after all turns ahead of it. */
  async function runsAhead(ahead: TurnAhead[], deadline: number): Promise<PlacedRun[]> {
    const runs: PlacedRun[] = []
    for (const { turnId, runId, position } of ahead) {
      const result =
        runId === null
          ? await dispatches.result(turnId, deadline - MIN_SEND_MS - performance.now())
          : { runId }
      if (result === undefined)
        throw new DispatchError('engine_unavailable', 'refused', {
          detail: 'An earlier message of this conversation has not been accepted yet.',
        })
      if (result.runId !== undefined) runs.push({ runId: result.runId, position })
    }
    return runs
  }

  /** @returns the run that the turn has; undefined when it was removed or hidden meanwhile */
  async function record(turnId: string, runId: string): Promise<string | undefined> {
    const recorded = await stores.turns.record(turnId, runId).catch((error: unknown): Recorded => {
      log.warn({ err: error, turnId, runId }, 'the run id could not be recorded and is recorded later')
      void recordLater(turnId, runId)
      return { state: 'recorded', cancel: false }
    })
    dispatches.wake(turnId)
    return keep(recorded, runId)
  }

  async function recordLater(turnId: string, runId: string): Promise<void> {
    for (let attempt = 0; attempt < RECORD_ATTEMPTS; attempt++) {
      await sleep(RECORD_PAUSE_MS, undefined, { ref: false })
      const recorded = await stores.turns.record(turnId, runId).catch(() => undefined)
      if (recorded === undefined) continue
      await keep(recorded, runId)
      // The run may have begun or ended meanwhile, and its events could not be stored either.
      return stores.sweeps.checkIn(runId, 0).catch(() => {})
    }
  }

  /** Cancels the run when the turn has another run, or when a caller has asked to cancel it. @returns the turn's run */
  async function keep(recorded: Recorded, runId: string): Promise<string | undefined> {
    if (recorded.state === 'recorded' && !recorded.cancel) return runId
    await engine.cancel(runId).catch((error: unknown) => {
      log.warn({ err: error, runId }, 'the run could not be cancelled; the sweeper does it')
    })
    if (recorded.state === 'recorded') return runId
    return recorded.state === 'other' ? recorded.runId : undefined
  }

  /**
   * Removes the turn of a start that failed, or abandons it when the outcome of the engine call is unknown.
   * @returns the turn's run, when another instance has recorded one meanwhile
   */
  async function leaveTurn(turnId: string, isUnknown: boolean): Promise<string | undefined> {
    try {
      if (await (isUnknown ? stores.turns.abandon(turnId) : stores.turns.remove(turnId))) return undefined
      const [turn] = await stores.turns.states([turnId])
      return turn?.state === 'started' ? (turn.runId ?? undefined) : undefined
    } catch (error) {
      log.warn({ err: error, turnId }, 'the turn could not be removed; the sweeper does it')
      return undefined
    } finally {
      dispatches.wake(turnId)
    }
  }

  return {
    send,
    async dispatch(turn, options) {
      let sent: string
      try {
        const ahead = await runsAhead(turn.ahead, options.deadline)
        sent = await send({ ...turn, ahead }, turn, options)
      } catch (error) {
        // A continuation has no caller who would ask for it again: it stays, and the sweeper dispatches it.
        if (turn.continues !== undefined) throw error
        const isUnknown = error instanceof DispatchError && error.outcome === 'unknown'
        const runId = await leaveTurn(turn.turnId, isUnknown)
        if (runId !== undefined) return runId
        throw error
      }
      const runId = await record(turn.turnId, sent)
      if (runId === undefined) throw new DispatchError('engine_unavailable', 'refused')
      return runId
    },
  }
}

/**
 * The engine answers a known key with the run that it has for the key, so a retry with the same Idempotency-Key never
 * makes a second run, also when the database is away. The engine would answer with a cancelled run as well, so the
 * number of cancelled runs is part of the key.
 */
function engineKey({ turnId, userId, idempotencyKey }: StartOrigin, cancelledRuns: number): string {
  const again = cancelledRuns > 0 ? [String(cancelledRuns)] : []
  if (idempotencyKey === null) return [turnId, ...again].join('/')
  const parts = [AGENT_TASK_ID, userId, idempotencyKey, ...again]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
