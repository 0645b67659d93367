import { cutBesideText } from '../../agent/output.ts'
import type { AgentOutput, TurnMessage } from '../../agent/turn.ts'
import type { RunSnapshot } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import { isContentError } from '../../stores/database.ts'
import type { RunEnd } from '../../stores/run-ends.ts'
import type { ServiceContext } from '../context.ts'
import { turnOf } from '../run-tags.ts'
import {
  type BrokenEnd,
  CANCELLED,
  closingReason,
  completed,
  extended,
  failure,
  partially,
} from './end-contents.ts'
import { type PartialAnswer, readPartialAnswer, SILENT, UNREAD } from './partial-answer.ts'

export interface Finalizer {
  /**
   * Stores the end of a run that has ended. Several instances may call this. The first call stores the end, the others
   * change nothing. Does nothing while the run goes on. Rejects when the answer cannot be read or stored now. The run is
   * then due for the sweeper soon.
   * @param seen the run as the engine has just described it; when absent, the engine is asked
   * @returns whether the run has ended (by this call or before)
   */
  settle(runId: string, seen?: RunSnapshot, options?: SettleOptions): Promise<boolean>
  /** Ends a run as failed, with a code of the service. */
  fail(runId: string, errorCode: string, options?: FailOptions): Promise<void>
  /** Called with the engine's id of every run that this instance has ended. */
  onSettled(listener: (runId: string) => void): void
}

export interface SettleOptions {
  /** The run is overdue. Its answer is read once, and parts that cannot be read now are left out. */
  overdue?: boolean
  /** The purpose of the reading, for the budget of engine calls; `read` when absent. */
  purpose?: 'read' | 'end'
}

export interface FailOptions {
  /** The engine answers calls, so the partial answer is read from the run's stream and kept. */
  readable?: boolean
  /** The engine may still execute the run. The sweeper cancels the run at the engine. */
  stop?: boolean
}

const REMEMBERED = 10_000
/** For how long after the end of a run the sweeper tries to read its stream to the end. */
const UNREAD_MS = 120_000
/** Seconds until a run whose end could not be stored is due again. */
const AGAIN_SECONDS = 2

export function finalizer({ stores, engine, log }: ServiceContext): Finalizer {
  const underway = new Map<string, Promise<boolean>>()
  const listeners: Array<(runId: string) => void> = []
  /** Runs whose end this instance has stored. Later events about such a run cause no engine call and no statement. */
  const ended = new Set<string>()

  async function store(end: RunEnd, turnId?: string): Promise<void> {
    let stored = await stores.ends.finalize(end)
    if (stored === undefined && turnId !== undefined) {
      // The end of the run came before its id was recorded.
      const recorded = await stores.turns.record(turnId, end.runId)
      if (recorded.state === 'recorded') stored = await stores.ends.finalize(end)
    }
    if (!stored?.done) return
    remember(end.runId)
    if (end.errorCode === 'payload_too_new')
      log.error(
        { runId: end.runId },
        'the worker is older than this service and cannot read the payload: deploy the worker',
      )
  }

  /** Stores an end. When the database refuses the contents of the answer, the run ends as failed, without the answer. */
  async function storeAnyhow(end: RunEnd, turnId?: string): Promise<void> {
    try {
      await store(end, turnId)
    } catch (error) {
      if (!isContentError(error)) throw error
      log.error({ err: error, runId: end.runId }, 'the database refused the answer; the run ends without it')
      await store({ ...end, ...failure('internal'), output: null, text: '', usage: null, facts: {} }, turnId)
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
    const before = await answerBefore(run)
    if (run.status === 'completed' && run.output !== undefined) {
      const whole = run.output.textCut
        ? await wholeAnswer(run, run.output, options, before)
        : run.output.uiMessage
      await storeAnyhow({ ...base, ...completed(run, run.output, whole, before) }, turnId)
    } else {
      const partial = extended(await partialAnswer(run, options, before), run, before)
      const end = run.status === 'cancelled' ? CANCELLED : await failed(runId, run.failureCode ?? 'internal')
      await storeAnyhow({ ...base, ...partially(partial, closingReason(end), run), ...end }, turnId)
    }
    return true
  }

  /** For the run of a continuation: the answer that the earlier runs of its chain have written. */
  async function answerBefore({ runId, payload }: RunSnapshot): Promise<TurnMessage | undefined> {
    if (payload?.continues === undefined) return undefined
    return (await stores.runs.answerBefore(runId)) ?? payload.continues.message
  }

  /** When the worker of a run was lost after a caller had asked to cancel the run, the run counts as cancelled. */
  async function failed(runId: string, code: string): Promise<BrokenEnd> {
    const run = code === 'worker_lost' ? await stores.runs.progress(runId) : undefined
    return (run?.cancelRequestedAt ?? null) === null ? failure(code) : CANCELLED
  }

  /** The answer of a run that did not complete, as far as the run had written it. */
  async function partialAnswer(
    run: RunSnapshot,
    options: SettleOptions,
    before: TurnMessage | undefined,
  ): Promise<PartialAnswer> {
    // The local engine has forgotten a lost run without a start time, and its stream. Trigger.dev keeps the stream of a
    // run whose worker it has lost.
    if (run.failureCode === 'worker_lost' && run.startedAt === undefined) return UNREAD
    if (run.startedAt === undefined) return SILENT
    return readStream(run, options, before)
  }

  /** Reads an answer that had no room in the output from the run's stream. Undefined when chunks are missing. */
  async function wholeAnswer(
    run: RunSnapshot,
    { chunkCount }: AgentOutput,
    options: SettleOptions,
    before: TurnMessage | undefined,
  ): Promise<TurnMessage | undefined> {
    const { message, frameCount } = await readStream(run, options, before)
    return message === null || frameCount !== chunkCount ? undefined : cutBesideText(message)
  }

  /** @throws Error when the stream was not read to its end, and a later reading may succeed */
  async function readStream(
    run: RunSnapshot,
    { overdue, purpose }: SettleOptions,
    before: TurnMessage | undefined,
  ): Promise<PartialAnswer> {
    const answer = await readPartialAnswer(engine, run.runId, purpose, before)
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
          // Callers rely on the sweeper, so the run is made due soon. When the database is away, this fails too, and
          // the run is due at the `check_at` that its row has.
          await stores.sweeps.checkIn(runId, AGAIN_SECONDS).catch(() => {})
          throw error
        })
        .finally(() => underway.delete(runId))
      underway.set(runId, settling)
      return settling
    },
    async fail(runId, errorCode, { readable = false, stop = false } = {}) {
      const before = await stores.runs.answerBefore(runId)
      const read = readable ? await readPartialAnswer(engine, runId, 'end', before) : UNREAD
      const partial = extended(read, { startedAt: new Date() }, before)
      const base = { runId, createdAt: null, startedAt: null, finishedAt: null, stop }
      await storeAnyhow({ ...base, ...partially(partial, 'lost'), ...(await failed(runId, errorCode)) })
    },
    onSettled: (listener) => listeners.push(listener),
  }
}
