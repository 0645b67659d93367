import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AGENT_TASK_ID } from '../agent/turn.ts'
import { DispatchError } from '../engine/engine-error.ts'
import { problem } from '../errors.ts'
import type { PendingDispatch, RunAhead, StartedTurn } from '../stores/turns.ts'
import { type ServiceContext, turnTag } from './context.ts'
import { buildPayload, type PayloadParts } from './engine-payload.ts'

/** How long a run ahead may stay without its engine id before whoever waits dispatches it. */
const PREDECESSOR_MS = 1_000
/** How long a start waits for the runs ahead of it in all. */
const GIVE_UP_MS = 8_000
const LOOK_MS = 40
const SECONDS_PER_DAY = 86_400

export interface Dispatcher {
  /**
   * Hands a stored turn to the engine, behind the runs ahead of it. Rejects with 503 or 413; what is left of
   * the turn then is nothing, or an `abandoned` row.
   * @returns the engine's run id
   */
  dispatch(
    turn: StartedTurn & { userId: string; idempotencyKey: string | null },
    traceparent?: string,
  ): Promise<string>
  /** Hands a turn over whose dispatcher died. Safe to repeat: the engine key is the same. */
  redispatch(pending: PendingDispatch): Promise<string>
  /** Hands a turn over that has no row, because the database is away. */
  send(parts: PayloadParts, key: EngineKeyParts): Promise<string>
}

export type StoredTurn = StartedTurn & { userId: string; idempotencyKey: string | null }

export interface EngineKeyParts {
  userId: string
  idempotencyKey: string | null
  attempt: number
}

export function dispatcher(context: ServiceContext): Dispatcher {
  const { stores, engine, log, tags, settings } = context

  async function send(parts: PayloadParts, key: EngineKeyParts): Promise<string> {
    const payload = buildPayload(parts, settings)
    return engine.start(payload, {
      engineKey: engineKey(parts.turnId, key),
      concurrencyKey: parts.conversationId ?? parts.turnId,
      tags: [await tags.service(), tags.instance, turnTag(parts.turnId)],
      ttlSeconds: settings.ttlSeconds,
      maxDurationSeconds: settings.maxDurationSeconds,
      keySeconds: settings.retentionDays * SECONDS_PER_DAY,
    })
  }

  /**
   * The engine keeps the order in which it is told, so a turn goes out only when all ahead of it have. One
   * whose process died is sent by whoever waits behind it.
   */
  async function predecessors(ahead: RunAhead[]): Promise<string[]> {
    const known = new Map(ahead.map((run) => [run.turnId, run.runId]))
    const givesUpAt = performance.now() + GIVE_UP_MS
    let takesOverAt = performance.now() + PREDECESSOR_MS
    for (;;) {
      const waiting = [...known].filter(([, runId]) => runId === null).map(([turnId]) => turnId)
      if (waiting.length === 0) return [...known.values()].filter((runId) => runId !== null)
      if (performance.now() > givesUpAt) throw new DispatchError('engine_unavailable', 'refused')
      await sleep(LOOK_MS)
      const pending = await stores.turns.pending(waiting)
      for (const turnId of waiting) {
        const run = pending.find((one) => one.turnId === turnId)
        if (run === undefined || run.status === 'abandoned') known.delete(turnId)
        else known.set(turnId, run.runId)
      }
      const stuck = pending.find((run) => run.runId === null && run.status === 'dispatching')
      if (stuck !== undefined && performance.now() > takesOverAt) {
        log.warn({ turnId: stuck.turnId }, 'dispatching a turn whose dispatcher is silent')
        known.set(stuck.turnId, await redispatch(stuck))
        takesOverAt = performance.now() + PREDECESSOR_MS
      }
    }
  }

  async function record(turnId: string, runId: string): Promise<void> {
    try {
      const recorded = await stores.turns.record(turnId, runId)
      if (recorded?.cancelRequested) await engine.cancel(runId)
    } catch (error) {
      // The run goes ahead; the observer or the sweeper records it by its turn tag.
      log.warn({ err: error, turnId, runId }, 'the run id could not be recorded')
    }
  }

  async function redispatch(pending: PendingDispatch): Promise<string> {
    const { turnId, input, conversationId, position } = pending
    if (input === null) throw problem('internal', { cause: new Error(`turn ${turnId} has no input`) })
    const behind =
      conversationId === null || position === null
        ? { history: [], ahead: [] }
        : await stores.turns.context(conversationId, position)
    const ahead = behind.ahead.map((run) => run.runId).filter((runId) => runId !== null)
    const runId = await send({ ...input, turnId, conversationId, history: behind.history, ahead }, pending)
    await record(turnId, runId)
    return runId
  }

  return {
    send,
    redispatch,
    async dispatch(turn, traceparent) {
      const runId = await handOver(turn, traceparent)
      await record(turn.turnId, runId)
      return runId
    },
  }

  async function handOver(turn: StoredTurn, traceparent: string | undefined): Promise<string> {
    try {
      const ahead = await predecessors(turn.ahead)
      return await send({ ...turn, ahead, traceparent }, turn)
    } catch (error) {
      // A revived turn may have a run from its first dispatch, whatever became of this one.
      const certain = !(error instanceof DispatchError && error.outcome === 'unknown') && !turn.revived
      await stores.turns
        .withdraw(turn.turnId, certain ? 'gone' : 'abandoned')
        .catch((cause) => log.warn({ err: cause, turnId: turn.turnId }, 'the sweeper will withdraw the turn'))
      throw error
    }
  }
}

/**
 * A retry with the same Idempotency-Key finds the run even when the database was away. `attempt` counts the
 * runs of a key that the sweeper cancelled: the engine would keep answering with a cancelled one.
 */
function engineKey(turnId: string, { userId, idempotencyKey, attempt }: EngineKeyParts): string {
  if (idempotencyKey === null) return turnId
  const parts = [AGENT_TASK_ID, userId, idempotencyKey, ...(attempt > 0 ? [String(attempt)] : [])]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
