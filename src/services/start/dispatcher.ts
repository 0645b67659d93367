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
   * Hands a stored turn to the engine, behind the turns ahead of it, and records its run. Rejects with 503, 502 or
   * 413; the turn is removed then, or hidden when the engine may have it.
   * @returns the engine's run id
   */
  dispatch(turn: StoredTurn, options: DispatchOptions): Promise<string>
  /** Hands a turn to the engine that has no row, because the database is away. @returns the engine's run id */
  send(parts: PayloadParts, origin: StartOrigin, options: DispatchOptions): Promise<string>
}

export type StoredTurn = Omit<PayloadParts, 'ahead' | 'traceparent'> &
  StartOrigin & { position: number; ahead: TurnAhead[] }

export interface DispatchOptions {
  traceparent?: string | undefined
  /** When the start must be over, by `performance.now()`. It is before the end of the turn's lease. */
  deadline: number
  /** Runs of the same key that were cancelled: the engine would answer the key with one of them. */
  cancelledRuns?: number
}

/** What is left for the engine at least, however long the turns ahead took. */
const MIN_SEND_MS = 2_000
/** A run id that could not be recorded is recorded once the database is back, before the sweeper finds the run. */
const RECORD_ATTEMPTS = 5
const RECORD_PAUSE_MS = 1_200
const SECONDS_PER_DAY = 86_400

/** One dispatch of a turn: the start that has created it owns it until the lease ends; see docs/architecture.md#the-life-of-a-turn. */
export function dispatcher(context: ServiceContext, dispatches: Dispatches): Dispatcher {
  const { stores, engine, log, tags, settings } = context

  async function send(parts: PayloadParts, origin: StartOrigin, options: DispatchOptions): Promise<string> {
    const payload = buildPayload({ ...parts, traceparent: options.traceparent }, settings)
    const places = [await tags.service(), tags.instance]
    if (parts.origin !== undefined) places.push(await unstoredTag(tags))
    const left = Math.round(options.deadline - performance.now())
    // A process that was stopped for a while must not send what the sweeper has removed meanwhile.
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

  /** The engine keeps the order in which it is told, so a turn is sent only when all ahead of it have been. */
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
      if (recorded !== undefined) return void (await keep(recorded, runId))
    }
  }

  /** Stops a run that is not the turn's, or that is to be cancelled. @returns the run that the turn has */
  async function keep(recorded: Recorded, runId: string): Promise<string | undefined> {
    if (recorded.state === 'recorded' && !recorded.cancel) return runId
    await engine.cancel(runId).catch((error: unknown) => {
      log.warn({ err: error, runId }, 'the run could not be cancelled; the sweeper does it')
    })
    if (recorded.state === 'recorded') return runId
    return recorded.state === 'other' ? recorded.runId : undefined
  }

  /** A start that failed leaves nothing, or a hidden turn. @returns the run that the turn has got all the same */
  async function giveUp(turnId: string, isUnknown: boolean): Promise<string | undefined> {
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
        const isUnknown = error instanceof DispatchError && error.outcome === 'unknown'
        const runId = await giveUp(turn.turnId, isUnknown)
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
 * The engine answers a key with the run that it has for it, so a retry with the same Idempotency-Key never makes a
 * second run, also when the database was away. It would answer with a cancelled run as well: their number makes
 * another key.
 */
function engineKey({ turnId, userId, idempotencyKey }: StartOrigin, cancelledRuns: number): string {
  const again = cancelledRuns > 0 ? [String(cancelledRuns)] : []
  if (idempotencyKey === null) return [turnId, ...again].join('/')
  const parts = [AGENT_TASK_ID, userId, idempotencyKey, ...again]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
