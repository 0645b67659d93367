import { cutBesideText } from '../agent/output.ts'
import type { AgentOutput, AgentTurn, TurnMessage } from '../agent/turn.ts'
import type { RunSnapshot } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import { isContentError } from '../stores/database.ts'
import type { FinalTurn } from '../stores/turns.ts'
import { type ClosingReason, storable, textOf } from './answer.ts'
import type { ServiceContext } from './context.ts'
import { type PartialAnswer, readPartialAnswer, SILENT, UNREAD } from './partial-answer.ts'
import { partialUsage } from './partial-usage.ts'
import { runFailure } from './run-failures.ts'

export interface Finalizer {
  /**
   * Ends a turn whose run has ended, once, whoever sees it first. Does nothing while the run goes on. Rejects when
   * what there is to keep cannot be had now; the turn is due again soon then.
   * @returns whether the turn has ended (by this call or before)
   */
  settle(turnId: string, runId: string, seen?: RunSnapshot, options?: SettleOptions): Promise<boolean>
  /**
   * Ends a turn with a code of the service's own, when the engine cannot be asked or knows nothing; `readable`:
   * it can, and what the run had said until now is kept.
   */
  fail(
    turnId: string,
    runId: string | null,
    errorCode: string,
    options?: { readable: boolean },
  ): Promise<void>
  /** Called with the engine id of every turn that this instance has ended. */
  onSettled(listener: (runId: string) => void): void
}

export interface SettleOptions {
  /** There is no other time: what cannot be had is left out. */
  overdue?: boolean
  /** On whose account the answer is read; `look` when absent. */
  kind?: 'look' | 'settle'
}

const REMEMBERED = 10_000
/** For how long after its end a run's stream is asked for until it can be read. */
const UNREAD_MS = 120_000
/** Many that fail at once must not make the sweeper run in circles. */
const AGAIN_SECONDS = 2

export function finalizer({ stores, engine, log }: ServiceContext): Finalizer {
  /** By run: a turn that was revived may have another one than the one whose end is being written. */
  const underway = new Map<string, Promise<boolean>>()
  const listeners: Array<(runId: string) => void> = []
  /** Turns that this instance has ended: the engine's last events about them cost nothing more. */
  const ended = new Set<string>()

  async function store(turn: FinalTurn): Promise<void> {
    try {
      if (await stores.turns.finalize(turn)) {
        remember(turn.turnId)
        if (turn.errorCode === 'payload_too_new')
          log.error({ runId: turn.runId }, 'the worker is older than this service: deploy it')
      }
    } catch (error) {
      if (!isContentError(error)) throw error
      // No run stays unfinished over a character that the database does not take.
      log.error(
        { err: error, turnId: turn.turnId, runId: turn.runId },
        'the answer was refused; ending without it',
      )
      await stores.turns.finalize({ ...turn, ...failure('internal'), output: null, text: '', usage: null })
    }
    if (turn.runId !== null) for (const listener of listeners) listener(turn.runId)
  }

  function remember(turnId: string): void {
    ended.add(turnId)
    const [oldest] = ended
    if (ended.size > REMEMBERED && oldest !== undefined) ended.delete(oldest)
  }

  async function settleOnce(
    turnId: string,
    runId: string,
    seen: RunSnapshot | undefined,
    options: SettleOptions,
  ): Promise<boolean> {
    const run = seen ?? (await engine.get(runId))
    if (run === undefined || !isFinished(run.status)) return false
    const base = {
      turnId,
      runId,
      startedAt: run.startedAt ?? null,
      finishedAt: run.finishedAt ?? null,
    }
    if (run.status === 'completed' && run.output !== undefined) {
      const whole = run.output.textCut ? await wholeAnswer(run, run.output, options) : run.output.uiMessage
      await store({ ...base, ...completed(run.output, whole) })
    } else {
      const partial = await partialAnswer(run, options)
      const end = run.status === 'cancelled' ? CANCELLED : failure(run.failureCode ?? 'internal')
      await store({ ...base, ...partially(partial, closingReason(run), run.payload), ...end })
    }
    return true
  }

  /** What a run that did not complete had said. */
  async function partialAnswer(run: RunSnapshot, options: SettleOptions): Promise<PartialAnswer> {
    if (run.failureCode === 'worker_lost') return UNREAD
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
    settle(turnId, runId, seen, options = {}) {
      if (seen === undefined && ended.has(turnId)) return Promise.resolve(true)
      const running = underway.get(runId)
      if (running !== undefined) return running
      const settling = settleOnce(turnId, runId, seen, options)
        .catch(async (error: unknown) => {
          // Whoever called leaves it to the sweeper, which may be a minute away. A database that is away catches up.
          await stores.sweeps.checkSoon(turnId, AGAIN_SECONDS).catch(() => {})
          throw error
        })
        .finally(() => underway.delete(runId))
      underway.set(runId, settling)
      return settling
    },
    async fail(turnId, runId, errorCode, { readable } = { readable: false }) {
      const partial = readable && runId !== null ? await readPartialAnswer(engine, runId, 'settle') : UNREAD
      const times = { startedAt: null, finishedAt: null }
      await store({ ...times, turnId, runId, ...partially(partial, 'lost'), ...failure(errorCode) })
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

function completed({ uiMessage, usage, chunkCount }: AgentOutput, whole: TurnMessage | undefined) {
  const output = storable(whole ?? uiMessage, 'failed')
  return {
    status: 'completed',
    output,
    text: textOf(output),
    usage,
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
