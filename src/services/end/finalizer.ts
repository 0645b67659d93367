import { cutBesideText } from '../../agent/output.ts'
import type { AgentOutput, AgentTurn, TurnMessage } from '../../agent/turn.ts'
import type { RunSnapshot } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import { isContentError } from '../../stores/database.ts'
import type { RunEnd } from '../../stores/run-ends.ts'
import type { ServiceContext } from '../context.ts'
import { turnOf } from '../run-tags.ts'
import { type ClosingReason, storable, textOf } from './answer.ts'
import { type PartialAnswer, readPartialAnswer, SILENT, UNREAD } from './partial-answer.ts'
import { partialUsage } from './partial-usage.ts'
import { runFailure } from './run-failures.ts'

export interface Finalizer {
  /**
   * Stores the end of a run that has ended, once, whichever instance sees it first. Does nothing while the run goes on.
   * Rejects when what there is to keep cannot be had now; the run is due again soon then.
   * @param seen what the engine has just said of the run; it is asked when this is absent
   * @returns whether the run has ended (by this call or before)
   */
  settle(runId: string, seen?: RunSnapshot, options?: SettleOptions): Promise<boolean>
  /** Ends a run with a code of the service's own. */
  fail(runId: string, errorCode: string, options?: FailOptions): Promise<void>
  /** Called with the engine's id of every run that this instance has ended. */
  onSettled(listener: (runId: string) => void): void
}

export interface SettleOptions {
  /** There is no other time: what cannot be had is left out. */
  overdue?: boolean
  /** On whose account the answer is read; `look` when absent. */
  kind?: 'look' | 'settle'
}

export interface FailOptions {
  /** The engine can be asked: what the run has said until now is kept. */
  readable?: boolean
  /** The engine may still execute the run: the sweeper stops it there. */
  stop?: boolean
}

const REMEMBERED = 10_000
/** For how long after the end of a run the sweeper tries to read its stream to the end. */
const UNREAD_MS = 120_000
/** When a run is due again whose end could not be stored. */
const AGAIN_SECONDS = 2

export function finalizer({ stores, engine, log }: ServiceContext): Finalizer {
  const underway = new Map<string, Promise<boolean>>()
  const listeners: Array<(runId: string) => void> = []
  /** Runs that this instance has ended: the engine's last events about them cost nothing more. */
  const ended = new Set<string>()

  async function store(end: RunEnd, turnId?: string): Promise<void> {
    let done = await stores.ends.finalize(end)
    if (done === undefined && turnId !== undefined) {
      // The end of the run came before its id was recorded.
      const recorded = await stores.turns.record(turnId, end.runId)
      if (recorded.state === 'recorded') done = await stores.ends.finalize(end)
    }
    if (!done) return
    remember(end.runId)
    if (end.errorCode === 'payload_too_new')
      log.error({ runId: end.runId }, 'the worker is older than this service: deploy it')
  }

  /** No run stays unfinished because the database does not take what it has said. */
  async function storeAnyhow(end: RunEnd, turnId?: string): Promise<void> {
    try {
      await store(end, turnId)
    } catch (error) {
      if (!isContentError(error)) throw error
      log.error({ err: error, runId: end.runId }, 'the database refused the answer; the run ends without it')
      await store({ ...end, ...failure('internal'), output: null, text: '', usage: null }, turnId)
    }
    for (const listener of listeners) listener(end.runId)
  }

  function remember(runId: string): void {
    ended.add(runId)
    const [oldest] = ended
    if (ended.size > REMEMBERED && oldest !== undefined) ended.delete(oldest)
  }

  async function settleOnce(
    runId: string,
    seen: RunSnapshot | undefined,
    options: SettleOptions,
  ): Promise<boolean> {
    const run = seen ?? (await engine.get(runId))
    if (run === undefined || !isFinished(run.status)) return false
    const base = {
      runId,
      createdAt: run.startedAt === undefined ? null : run.createdAt,
      startedAt: run.startedAt ?? null,
      finishedAt: run.finishedAt ?? null,
    }
    const turnId = turnOf(run.tags)
    if (run.status === 'completed' && run.output !== undefined) {
      const whole = run.output.textCut ? await wholeAnswer(run, run.output, options) : run.output.uiMessage
      await storeAnyhow({ ...base, ...completed(run.output, whole) }, turnId)
    } else {
      const partial = await partialAnswer(run, options)
      const end = run.status === 'cancelled' ? CANCELLED : failure(run.failureCode ?? 'internal')
      await storeAnyhow({ ...base, ...partially(partial, closingReason(run), run.payload), ...end }, turnId)
    }
    return true
  }

  /** What a run that did not complete had said. */
  async function partialAnswer(run: RunSnapshot, options: SettleOptions): Promise<PartialAnswer> {
    // The local engine has lost the run with its stream; a server that lost the worker still has the stream.
    if (run.failureCode === 'worker_lost' && run.startedAt === undefined) return UNREAD
    if (run.startedAt === undefined) return SILENT
    return readStream(run, options)
  }

  /** The answer of a run whose output was too small for it; undefined when its stream has lost it too. */
  async function wholeAnswer(
    run: RunSnapshot,
    { chunkCount }: AgentOutput,
    options: SettleOptions,
  ): Promise<TurnMessage | undefined> {
    const { message, frameCount } = await readStream(run, options)
    return message === null || frameCount !== chunkCount ? undefined : cutBesideText(message)
  }

  /** @throws Error while it may be read another time */
  async function readStream(run: RunSnapshot, { overdue, kind }: SettleOptions): Promise<PartialAnswer> {
    const answer = await readPartialAnswer(engine, run.runId, kind)
    const endedAt = run.finishedAt?.getTime() ?? Date.now()
    if (answer.cutOff !== undefined && !overdue && Date.now() - endedAt < UNREAD_MS) throw answer.cutOff
    return answer
  }

  return {
    settle(runId, seen, options = {}) {
      if (seen === undefined && ended.has(runId)) return Promise.resolve(true)
      const running = underway.get(runId)
      if (running !== undefined) return running
      const settling = settleOnce(runId, seen, options)
        .catch(async (error: unknown) => {
          // Callers leave the rest to the sweeper, so the run becomes due soon. If the database is away, it is due when
          // the database is back.
          await stores.sweeps.checkIn(runId, AGAIN_SECONDS).catch(() => {})
          throw error
        })
        .finally(() => underway.delete(runId))
      underway.set(runId, settling)
      return settling
    },
    async fail(runId, errorCode, { readable = false, stop = false } = {}) {
      const partial = readable ? await readPartialAnswer(engine, runId, 'settle') : UNREAD
      const base = { runId, createdAt: null, startedAt: null, finishedAt: null, stop }
      await storeAnyhow({ ...base, ...partially(partial, 'lost'), ...failure(errorCode) })
    },
    onSettled: (listener) => listeners.push(listener),
  }
}

const CANCELLED = { status: 'cancelled', errorCode: null, error: null } as const

function failure(code: string) {
  const { errorCode, message } = runFailure(code)
  return { status: 'failed', errorCode, error: message } as const
}

function closingReason({ status, failureCode }: RunSnapshot): ClosingReason {
  if (status === 'cancelled') return 'cancelled'
  return failureCode === 'worker_lost' || failureCode === 'crashed' ? 'lost' : 'failed'
}

function completed({ uiMessage, usage, model, chunkCount }: AgentOutput, whole: TurnMessage | undefined) {
  const output = storable(whole ?? uiMessage, 'failed')
  return {
    status: 'completed',
    output,
    text: textOf(output),
    usage: model === undefined ? usage : { ...usage, model },
    errorCode: null,
    error: null,
    frameCount: chunkCount,
    truncated: whole === undefined,
  } as const
}

function partially(partial: PartialAnswer, reason: ClosingReason, payload?: AgentTurn) {
  const { message, chunks, frameCount, truncated } = partial
  const output = message === null ? null : storable(message, reason)
  const usage = partialUsage(chunks, payload)
  return {
    output,
    text: output === null ? '' : textOf(output),
    usage: usage !== null && truncated ? { ...usage, estimated: true } : usage,
    frameCount,
    truncated,
  }
}
