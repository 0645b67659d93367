import { estimateTokens } from '../agent/tokens.ts'
import type { AgentOutput, TurnUsage } from '../agent/turn.ts'
import type { RunSnapshot } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import { isContentError } from '../stores/database.ts'
import type { FinalTurn } from '../stores/turns.ts'
import { type ClosingReason, storable, textOf } from './answer.ts'
import type { ServiceContext } from './context.ts'
import { type PartialAnswer, readPartialAnswer } from './partial-answer.ts'
import { runFailure } from './run-failures.ts'

export interface Finalizer {
  /**
   * Ends a turn whose run has ended, once, whoever sees it first. Does nothing while the run goes on.
   * @returns whether the turn has ended (by this call or before)
   */
  settle(turnId: string, runId: string, seen?: RunSnapshot): Promise<boolean>
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

const REMEMBERED = 10_000

export function finalizer({ stores, engine, log }: ServiceContext): Finalizer {
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

  async function settleOnce(turnId: string, runId: string, seen?: RunSnapshot): Promise<boolean> {
    const run = seen ?? (await engine.get(runId))
    if (run === undefined || !isFinished(run.status)) return false
    const base = {
      turnId,
      runId,
      startedAt: run.startedAt ?? null,
      finishedAt: run.finishedAt ?? null,
    }
    if (run.status === 'completed' && run.output !== undefined) {
      await store({ ...base, ...completed(run.output) })
    } else {
      const partial = await partialAnswer(run)
      const end = run.status === 'cancelled' ? CANCELLED : failure(run.failureCode ?? 'internal')
      await store({ ...base, ...partially(partial, closingReason(run)), ...end })
    }
    return true
  }

  /** What a run that did not complete had said; one that never began has no stream to wait for. */
  async function partialAnswer(run: RunSnapshot): Promise<PartialAnswer> {
    if (run.startedAt === undefined) return SILENT
    const partial = await readPartialAnswer(engine, run.runId)
    return partial.usage !== null ? partial : { ...partial, usage: estimateUsage(run, partial) }
  }

  return {
    settle(turnId, runId, seen) {
      if (seen === undefined && ended.has(turnId)) return Promise.resolve(true)
      const running = underway.get(turnId)
      if (running !== undefined) return running
      const settling = settleOnce(turnId, runId, seen).finally(() => underway.delete(turnId))
      underway.set(turnId, settling)
      return settling
    },
    async fail(turnId, runId, errorCode, { readable } = { readable: false }) {
      const partial = readable && runId !== null ? await readPartialAnswer(engine, runId) : SILENT
      const times = { startedAt: null, finishedAt: null }
      await store({ ...times, turnId, runId, ...partially(partial, 'lost'), ...failure(errorCode) })
    },
    onSettled: (listener) => listeners.push(listener),
  }
}

const SILENT: PartialAnswer = { message: null, usage: null, frameCount: 0, truncated: false }
const CANCELLED = { status: 'cancelled', errorCode: null, error: null } as const

function failure(code: string) {
  const { errorCode, message } = runFailure(code)
  return { status: 'failed', errorCode, error: message } as const
}

function closingReason({ status, failureCode }: RunSnapshot): ClosingReason {
  if (status === 'cancelled') return 'cancelled'
  return failureCode === 'worker_lost' || failureCode === 'crashed' ? 'lost' : 'failed'
}

function completed({ uiMessage, usage, chunkCount }: AgentOutput) {
  const output = storable(uiMessage, 'failed')
  return {
    status: 'completed',
    output,
    text: textOf(output),
    usage,
    errorCode: null,
    error: null,
    frameCount: chunkCount,
    truncated: false,
  } as const
}

function partially({ message, usage, frameCount, truncated }: PartialAnswer, reason: ClosingReason) {
  const output = message === null ? null : storable(message, reason)
  return { output, text: output === null ? '' : textOf(output), usage, frameCount, truncated }
}

/** A worker that was killed has counted nothing: four characters make a token. */
function estimateUsage({ payload }: RunSnapshot, { message }: PartialAnswer): TurnUsage | null {
  if (message === null) return null
  const asked = payload === undefined ? '' : JSON.stringify([payload.history, payload.message])
  const inputTokens = estimateTokens(asked.length)
  const outputTokens = estimateTokens(JSON.stringify(message.parts).length)
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, estimated: true }
}
