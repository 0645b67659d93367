import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AGENT_TASK_ID } from '../agent/turn.ts'
import { DispatchError } from '../engine/engine-error.ts'
import { isFinished } from '../engine/run-status.ts'
import { Problem, problem } from '../errors.ts'
import type { PendingDispatch, Recorded, StartedTurn } from '../stores/turns.ts'
import {
  runsTagged,
  type ServiceContext,
  type StartOrigin,
  startTag,
  turnTag,
  unstoredTag,
} from './context.ts'
import { buildPayload, type PayloadParts, type PlacedRun } from './engine-payload.ts'
import type { UnstoredRuns } from './unstored-runs.ts'

/** How long a run ahead may stay without its engine id before whoever waits behind it dispatches it. */
const PREDECESSOR_MS = 1_000
/** Those further behind leave the takeover to the one in front of them for this much longer. */
const STAGGER_MS = 500
/** How long a start waits for the runs ahead of it in all. */
const GIVE_UP_MS = 8_000
const LOOK_MS = 40
/** What is left for the engine at least, however long the runs ahead took. */
const MIN_SEND_MS = 2_000
/** A database that was away for a moment gets the run id after all. */
const RECORD_ATTEMPTS = 5
const RECORD_PAUSE_MS = 1_200
const SECONDS_PER_DAY = 86_400

export interface Dispatcher {
  /**
   * Hands a stored turn to the engine, behind the runs ahead of it. Rejects with 503 or 413; what is left of
   * the turn then is nothing, or an `abandoned` row.
   * @returns the engine's run id
   */
  dispatch(turn: StoredTurn, options: DispatchOptions): Promise<string>
  /**
   * Finishes the dispatch of a turn whose dispatcher died, after those ahead of it with the same fate. A run that
   * the engine has for it is recorded; otherwise the turn is sent, or withdrawn when `send` is false or a
   * cancel was asked for.
   * @returns the engine's run id; undefined when the turn was taken back
   */
  redispatch(pending: PendingDispatch, options?: RedispatchOptions): Promise<string | undefined>
  /**
   * Hands a turn over that has no row, because the database is away. With a key, a run that the engine knows
   * already is the answer, unless only the database can say what became of it: then the rejection is 503.
   */
  sendUnstored(parts: PayloadParts, origin: StartOrigin, deadline: number): Promise<string>
}

export interface RedispatchOptions {
  send?: boolean
  kind?: 'act' | 'sweep' | undefined
}

export type StoredTurn = StartedTurn & { userId: string; idempotencyKey: string | null }

export interface DispatchOptions {
  traceparent?: string | undefined
  /** When the start must be over, by `performance.now()`. */
  deadline: number
  /** When nobody could know of the turn yet, by `performance.now()`. */
  since: number
  /** There may be runs whose rows are still missing after an outage of the database. */
  outage?: boolean
}

interface SendOptions {
  attempt?: number
  /** Runs of the turn that were given up. */
  except?: string[]
  deadline?: number | undefined
  kind?: 'act' | 'sweep' | undefined
  /** Somebody may have sent the turn within the last seconds. */
  justSent?: boolean
}

export function dispatcher(context: ServiceContext, unstored: Pick<UnstoredRuns, 'of'>): Dispatcher {
  const { stores, engine, log, tags, settings } = context

  async function send(parts: PayloadParts, origin: StartOrigin, options: SendOptions): Promise<string> {
    const { attempt = 0, except = [], deadline, kind = 'act' } = options
    const payload = buildPayload(parts, settings)
    const places = [await tags.service(), tags.instance]
    if (parts.origin !== undefined) places.push(await unstoredTag(tags))
    return engine.start(payload, {
      engineKey: engineKey(origin, attempt),
      concurrencyKey: parts.conversationId ?? parts.turnId,
      tags: [...places, ...new Set([startTag(origin), turnTag(origin.turnId)])],
      except,
      kind,
      ttlSeconds: settings.ttlSeconds,
      maxDurationSeconds: settings.maxDurationSeconds,
      keySeconds: settings.retentionDays * SECONDS_PER_DAY,
      ...(deadline === undefined
        ? {}
        : { deadlineMs: Math.max(MIN_SEND_MS, Math.round(deadline - performance.now())) }),
    })
  }

  /** The engine keeps a key as long as the service keeps the row. */
  const keptSince = () => new Date(Date.now() - settings.retentionDays * SECONDS_PER_DAY * 1000)

  /** The runs that a start has, by the engine's lists and by its events. */
  async function runsOf(origin: StartOrigin, { kind = 'act', justSent = false }: SendOptions) {
    const look = () => runsTagged(engine, startTag(origin), kind === 'act' ? 'look' : kind, keptSince())
    const heard = unstored.of(origin)
    let listed = await look()
    if (justSent && listed.length + heard.length === 0) {
      await sleep(engine.listLagMs)
      listed = await look()
    }
    return [...listed, ...heard.filter(({ runId }) => !listed.some((run) => run.runId === runId))]
  }

  /**
   * Sends a turn that somebody may have sent before. The engine forgets the key of a failed run and keeps that
   * of a cancelled one, so its runs are looked up first. One that was given up and goes on is stopped before
   * another is sent, so that no turn runs twice.
   * @returns the run that the turn has; undefined when the turn was taken back meanwhile
   */
  async function sendAgain(
    parts: PayloadParts,
    origin: StartOrigin,
    options: SendOptions,
  ): Promise<string | undefined> {
    const { kind = 'act' } = options
    const { turnId } = origin
    const runs = await runsOf(origin, options)
    // The row is asked last: somebody else who dispatches the turn may have been faster than the lists.
    const [pending] = await stores.turns.pending([turnId])
    if (pending === undefined || pending.status === 'abandoned') return undefined
    if (pending.runId !== null) return pending.runId
    // It was revived meanwhile, behind others that do not know it: whoever did that sends it.
    if (pending.position !== parts.position) return undefined
    const { givenUp, attempt } = pending
    const notCancelled = runs.filter(({ status }) => status !== 'cancelled')
    const usable = notCancelled.find(({ runId, status }) => isFinished(status) || !givenUp.includes(runId))
    if (usable !== undefined) {
      if (givenUp.includes(usable.runId)) await stores.sweeps.takeBack(turnId, usable.runId)
      // Its end may have been seen while the turn was not there to be ended.
      if (isFinished(usable.status)) await stores.sweeps.checkSoon(turnId)
      if (await fits(parts, usable.runId)) return usable.runId
      givenUp.push(usable.runId)
    }
    for (const { runId } of notCancelled) await engine.cancel(runId, kind)
    return send(parts, origin, { ...options, attempt: Math.max(attempt, runs.length), except: givenUp })
  }

  /**
   * Whether a run that was made before the turn was revived is still right: not when it has not begun, and others
   * have come in between that it would not know. Then it is the turn's no more.
   */
  async function fits({ turnId, position }: PayloadParts, runId: string): Promise<boolean> {
    const run = await engine.get(runId)
    const place = run?.payload?.position
    if (run?.status !== 'queued' || place === undefined || place === position) return true
    if (!(await stores.turns.isOvertaken(turnId, place))) return true
    // One that has begun since then cannot be disowned.
    return !(await stores.turns.disown(turnId, runId))
  }

  /**
   * A run knows what stood before the place that its turn had when it was sent. A turn that was revived meanwhile
   * has another one, and goes back.
   */
  async function putInPlace(turnId: string, runId: string): Promise<void> {
    try {
      const place = (await engine.get(runId))?.payload?.position
      if (place !== undefined) await stores.turns.moveBack(turnId, place, runId)
    } catch (error) {
      log.warn({ err: error, turnId, runId }, 'the place of the run could not be looked up')
    }
  }

  async function sendUnstored(parts: PayloadParts, origin: StartOrigin, deadline: number): Promise<string> {
    if (origin.idempotencyKey !== null) {
      const heard = unstored.of(origin).find(({ status }) => status !== 'cancelled')
      if (heard !== undefined) return heard.runId
      const runs = await runsTagged(engine, startTag(origin), 'look', keptSince())
      for (const { runId, status } of runs) {
        if (status === 'cancelled') continue
        // The row of a run that was stored may be abandoned, and the run about to be stopped.
        const mayBeStopped = !isFinished(status) && (await engine.get(runId))?.payload?.origin === undefined
        if (!mayBeStopped) return runId
      }
      if (runs.length > 0) throw problem('database_unavailable')
    }
    return send(parts, origin, { deadline })
  }

  /**
   * The engine keeps the order in which it is told, so a turn goes out only when all ahead of it have. One
   * whose process died is sent by the turn behind it, and one that was taken back may be revived behind that.
   */
  async function predecessors(
    { ahead, position }: Pick<StoredTurn, 'ahead' | 'position'>,
    deadline: number,
  ): Promise<PlacedRun[]> {
    const known = new Map(ahead.map((run) => [run.turnId, run]))
    const placed = () =>
      [...known.values()].flatMap(({ runId, position }) => (runId === null ? [] : [{ runId, position }]))
    const givesUpAt = Math.min(performance.now() + GIVE_UP_MS, deadline - MIN_SEND_MS)
    let first: { turnId: string; since: number } | undefined
    for (;;) {
      const waiting = [...known.values()].filter(({ runId }) => runId === null).map(({ turnId }) => turnId)
      if (waiting.length === 0) return placed()
      if (performance.now() > givesUpAt) throw new DispatchError('engine_unavailable', 'refused')
      await sleep(LOOK_MS)
      const pending = await stores.turns.pending(waiting)
      for (const turnId of waiting) {
        const run = pending.find((one) => one.turnId === turnId)
        const place = run?.position ?? 0
        if (run === undefined || run.status === 'abandoned' || place > position) known.delete(turnId)
        else known.set(turnId, { ...run, position: place })
      }
      const stuck = pending.find((run) => known.has(run.turnId) && run.runId === null)
      if (stuck === undefined) continue
      if (stuck.turnId !== first?.turnId) first = { turnId: stuck.turnId, since: performance.now() }
      if (performance.now() - first.since < PREDECESSOR_MS + STAGGER_MS * (waiting.length - 1)) continue
      log.warn({ turnId: stuck.turnId }, 'dispatching a turn whose dispatcher is silent')
      const redispatched = redispatch(stuck).catch((error: unknown) => {
        log.warn({ err: error, turnId: stuck.turnId }, 'it could not be dispatched either')
      })
      await Promise.race([redispatched, sleep(Math.max(0, givesUpAt - performance.now()))])
      first.since = performance.now()
    }
  }

  /** @returns the run that the turn has; undefined when the turn was taken back meanwhile */
  async function record(turnId: string, runId: string): Promise<string | undefined> {
    const recorded = await stores.turns.record(turnId, runId).catch((error: unknown) => {
      // The run goes ahead; what is not recorded in a moment, observer and sweeper record by its turn tag.
      log.warn({ err: error, turnId, runId }, 'the run id could not be recorded')
      void recordLater(turnId, runId)
      return { state: 'recorded', cancelRequested: false } as const
    })
    return recordedRun(recorded, runId)
  }

  /** Stops a run that is not the turn's, or not to go on. @returns the run that the turn has */
  async function recordedRun(recorded: Recorded, runId: string): Promise<string | undefined> {
    switch (recorded.state) {
      case 'recorded':
        if (recorded.cancelRequested) await stop(runId)
        return runId
      case 'other':
        await stop(runId)
        return recorded.runId
      case 'gone':
        await stop(runId)
        return undefined
      case 'abandoned':
        // The sweeper stops it, once the turn's key leads elsewhere.
        return undefined
    }
  }

  async function recordLater(turnId: string, runId: string): Promise<void> {
    for (let attempt = 0; attempt < RECORD_ATTEMPTS; attempt++) {
      await sleep(RECORD_PAUSE_MS, undefined, { ref: false })
      const recorded = await stores.turns.record(turnId, runId).catch(() => undefined)
      if (recorded !== undefined) return void (await recordedRun(recorded, runId))
    }
  }

  async function stop(runId: string): Promise<void> {
    await engine.cancel(runId).catch((error: unknown) => {
      log.warn({ err: error, runId }, 'the sweeper will cancel the run')
    })
  }

  async function redispatch(
    pending: PendingDispatch,
    { send: mayBeSent = true, kind }: RedispatchOptions = {},
  ) {
    const { turnId, input, conversationId, position } = pending
    const options = { kind, justSent: kind !== 'sweep' }
    if (!mayBeSent || input === null || pending.cancelRequestedAt !== null) return drop(pending, options)
    const behind =
      conversationId === null || position === null
        ? { history: [], ahead: [] }
        : await stores.turns.context(conversationId, position)
    const ahead: PlacedRun[] = []
    for (const run of behind.ahead) {
      const runId = run.runId ?? (await redispatchIfPending(run.turnId, kind))
      if (runId !== undefined) ahead.push({ runId, position: run.position })
    }
    const parts = { ...input, turnId, conversationId, position, history: behind.history, ahead }
    const sent = await sendAgain(parts, pending, options).catch(async (error: unknown) => {
      // It never will be smaller, and others wait behind it.
      if (codeOf(error) === 'engine_payload_too_large') await stores.turns.withdraw(turnId, 'gone')
      throw error
    })
    const runId = sent === undefined ? undefined : await record(turnId, sent)
    if (runId !== undefined) await putInPlace(turnId, runId)
    return runId
  }

  async function redispatchIfPending(
    turnId: string,
    kind: RedispatchOptions['kind'],
  ): Promise<string | undefined> {
    const [pending] = await stores.turns.pending([turnId])
    if (pending === undefined || pending.runId !== null) return pending?.runId ?? undefined
    return pending.status === 'dispatching' ? redispatch(pending, { kind }) : undefined
  }

  /**
   * A turn that is not to be sent: it keeps the run that it has, or goes. One with a key stays as abandoned:
   * should its dispatcher be slow and not dead, the key must not lead to the run that is stopped then.
   */
  async function drop(pending: PendingDispatch, options: SendOptions): Promise<string | undefined> {
    const { turnId, idempotencyKey, givenUp } = pending
    const run = (await runsOf(pending, options)).find(({ runId }) => !givenUp.includes(runId))
    if (run !== undefined) return record(turnId, run.runId)
    await stores.turns.withdraw(turnId, idempotencyKey === null ? 'gone' : 'abandoned')
    return undefined
  }

  /** @returns undefined when the turn was taken back meanwhile */
  async function handOver(turn: StoredTurn, options: DispatchOptions): Promise<string | undefined> {
    const { traceparent, deadline, since, outage = false } = options
    const { revived: justSent, idempotencyKey } = turn
    const isUnstored = idempotencyKey !== null && (outage || unstored.of(turn).length > 0)
    let sending = false
    try {
      const ahead = await predecessors(turn, justSent ? deadline - engine.listLagMs : deadline)
      sending = true
      const parts = { ...turn, ahead, traceparent }
      // Whoever waits behind this turn may have taken its dispatcher for dead.
      const isLate = performance.now() - since > PREDECESSOR_MS
      const mayHaveRun = justSent || isUnstored || isLate
      return await (mayHaveRun ? sendAgain : send)(parts, turn, { deadline, justSent })
    } catch (error) {
      const unknown = sending && error instanceof DispatchError && error.outcome === 'unknown'
      // Somebody else may be dispatching it at this moment, and the key must lead to that run.
      const keyed = turn.idempotencyKey !== null && codeOf(error) !== 'engine_payload_too_large'
      const taken = await takeBack(turn, unknown || keyed ? 'abandoned' : 'gone').catch((cause) => {
        log.warn({ err: cause, turnId: turn.turnId }, 'the sweeper will withdraw the turn')
        return undefined
      })
      if (taken !== undefined) return taken
      throw error
    }
  }

  /** @returns the run of a turn that cannot be taken back: the one behind it has dispatched it meanwhile */
  async function takeBack({ turnId }: StoredTurn, fate: 'gone' | 'abandoned'): Promise<string | undefined> {
    if (await stores.turns.withdraw(turnId, fate)) return undefined
    const [pending] = await stores.turns.pending([turnId])
    return pending?.runId ?? undefined
  }

  return {
    sendUnstored,
    redispatch,
    async dispatch(turn, options) {
      const sent = await handOver(turn, options)
      const runId = sent === undefined ? undefined : await record(turn.turnId, sent)
      // Somebody took this dispatcher for dead and the turn back.
      if (runId === undefined) throw new DispatchError('engine_unavailable', 'refused')
      if (turn.revived) await putInPlace(turn.turnId, runId)
      return runId
    },
  }
}

const codeOf = (error: unknown) => (error instanceof Problem ? error.code : undefined)

/**
 * A retry with the same Idempotency-Key finds the run even when the database was away. `attempt` counts the
 * runs of a start that were cancelled: the engine would keep answering with a cancelled one.
 */
function engineKey({ turnId, userId, idempotencyKey }: StartOrigin, attempt: number): string {
  const again = attempt > 0 ? [String(attempt)] : []
  if (idempotencyKey === null) return [turnId, ...again].join('/')
  const parts = [AGENT_TASK_ID, userId, idempotencyKey, ...again]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
