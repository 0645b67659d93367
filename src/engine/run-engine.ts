import type { AgentOutput, AgentTurn, IndexedChunk } from '../agent/turn.ts'
import type { PublicStatus } from './run-status.ts'

/** How a run is started; see docs/architecture.md#the-life-of-a-turn, step 3. */
export interface StartOptions {
  /** Trigger.dev idempotency key: a second start with the same key returns the first run. */
  engineKey: string
  /** Runs with the same key execute one after the other, in the order of their start. */
  concurrencyKey: string
  /** Tags of the run. The last one is the turn's own, by which an earlier attempt of the same start is found. */
  tags: string[]
  /** Seconds that the run may wait for its execution. */
  ttlSeconds: number
  /** Seconds that the run may execute. */
  maxDurationSeconds: number
  /** Seconds that the engine remembers `engineKey`. */
  keySeconds: number
  /** Milliseconds that the start may take with its repetitions; 10 s when absent. */
  deadlineMs?: number
  /** The purpose of the call, for the budget; `act` when absent. */
  purpose?: 'act' | 'sweep'
}

/** A run as lists and subscriptions describe it. Times are those of the engine's clock. */
export interface RunSummary {
  runId: string
  status: PublicStatus
  tags: string[]
  createdAt: Date
  startedAt?: Date
  finishedAt?: Date
}

/**
 * One run as the engine sees it. `output` only when completed, and then all of it can be read: a completed run whose
 * output cannot be read is `failed` with `output_unreadable`. `failureCode` only when failed. `payload` only when it is
 * one of this release.
 */
export interface RunSnapshot extends RunSummary {
  payload?: AgentTurn
  output?: AgentOutput
  failureCode?: string
  /** Of a failed run: seconds after which the model provider allows another call. */
  retryAfter?: number
}

export interface ReadOptions {
  /** Called when the engine has begun to answer. The records that it holds follow. */
  onOpen?: () => void
  /** The purpose of the call, for the budget; `read` when absent. */
  purpose?: 'read' | 'end'
}

/**
 * What the services need of Trigger.dev. Every call has a deadline of its own and rejects with an error of the register
 * (`src/errors.ts`): `engine_unavailable` when Trigger.dev is away or stays silent, `engine_refused` when it refuses the
 * call until the operator acts. `EngineBusy` (an `engine_unavailable`, see `isEngineBusy`) says that no call was made,
 * because the budget of calls is spent or Trigger.dev has named a time to wait (429).
 */
export interface RunEngine {
  /** A run may be missing from `list` for so many milliseconds after its start. */
  readonly listLagMs: number
  /**
   * Rejects while the engine is away, after `deadlineMs` (5 s) at the latest. What other calls saw within the
   * last seconds counts as an answer.
   */
  ping(deadlineMs?: number): Promise<void>
  /** Idempotent on `options.engineKey`. A rejection is a `DispatchError` that says whether a run may exist. */
  start(turn: AgentTurn, options: StartOptions): Promise<string>
  /** Runs with the tag, newest first, 100 a page. Lags behind by `listLagMs`; runs that cannot be read are left out. */
  list(filter: { tag: string; createdFrom?: Date }, purpose?: 'read' | 'sweep'): AsyncIterable<RunSummary>
  /** `undefined`: unknown to the engine, which may be lag; a run that is certainly lost is a failed snapshot. */
  get(runId: string, purpose?: 'read' | 'sweep'): Promise<RunSnapshot | undefined>
  /** Idempotent; a finished run is left as it is, and an unknown one is no error. */
  cancel(runId: string, purpose?: 'act' | 'sweep'): Promise<void>
  /**
   * Has an unfinished run end between two steps, because the message of `byRunId` steers it. A run that has ended, and
   * an unknown one, are no errors. Takes two seconds at the latest.
   */
  steer(runId: string, byRunId: string): Promise<void>
  /**
   * The run's chunks, always from the start of the stream; ends by silence, not by the end of the run. Throws when
   * the connection cannot be made or breaks; `isGone` tells whether the engine has no such stream.
   */
  chunks(runId: string, signal: AbortSignal, options?: ReadOptions): AsyncIterable<IndexedChunk>
  /**
   * Every change of the runs with the tag, beginning with the runs of the last 20 minutes, until `signal` aborts or the
   * subscription breaks (then it throws).
   */
  changes(tag: string, signal: AbortSignal): AsyncIterable<RunSummary>
}
