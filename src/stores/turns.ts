import { sql } from 'kysely'
import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { Database } from './database.ts'
import type { Metadata, StoredStatus, TurnInput } from './schema.ts'

export interface NewTurn {
  turnId: string
  userId: string
  actor: string | null
  conversationId: string
  newConversation: boolean
  /** Of the new conversation. */
  title: string | null
  seed: Array<TurnMessage & { text: string }>
  message: TurnMessage & { text: string }
  assistantMessageId: string
  metadata: Metadata
  ifBusy: 'enqueue' | 'reject' | 'interrupt'
  idempotencyKey: string | null
  requestHash: string | null
}

export interface TurnLimits {
  /** Unfinished runs that a conversation may have. */
  queueLimit: number
  maxMessages: number
  maxBytes: number
  /** When the sweeper looks at a run whose dispatch nobody finished. */
  checkSeconds: number
  deadlineSeconds: number
}

export interface RunAhead {
  turnId: string
  runId: string | null
  status: StoredStatus
  position: number
}

/** Finished messages before a turn, oldest first, and the unfinished runs ahead of it. */
export interface TurnContext {
  history: Array<TurnMessage & { position: number }>
  ahead: RunAhead[]
}

export type StartedTurn = TurnContext & {
  outcome: 'created'
  turnId: string
  conversationId: string
  assistantMessageId: string
  message: TurnMessage & { text: string }
  position: number
  /** How often the sweeper gave up on a dispatch of this turn: part of the engine key. */
  attempt: number
  /** An earlier dispatch of this turn had no answer: its run may exist. */
  revived: boolean
}

export type StartOutcome =
  | StartedTurn
  | { outcome: 'replay'; turnId: string; runId: string | null; conversationId: string | null }
  | { outcome: 'mismatch' | 'conversation_not_found' }
  | { outcome: 'busy' | 'queue_full'; activeRunId: string | null }

export interface FinalTurn {
  turnId: string
  /** Null when the turn never got one. */
  runId: string | null
  status: 'completed' | 'failed' | 'cancelled'
  output: TurnMessage | null
  text: string
  usage: TurnUsage | null
  errorCode: string | null
  error: string | null
  frameCount: number | null
  truncated: boolean
  startedAt: Date | null
  finishedAt: Date | null
}

/** A run that was started while the database was away. */
export interface UnstoredTurn {
  turnId: string
  runId: string
  userId: string
  actor: string | null
  metadata: Metadata
  idempotencyKey: string | null
  requestHash: string | null
  input: TurnInput
  createdAt: Date
}

/** What became of noting a run's id: somebody may have noted another one, or the turn was taken back. */
export type Recorded =
  | { state: 'recorded'; cancelRequested: boolean }
  | { state: 'other'; runId: string }
  | { state: 'abandoned' | 'gone' }

export interface PendingDispatch {
  turnId: string
  runId: string | null
  status: StoredStatus
  userId: string
  actor: string | null
  metadata: Metadata
  idempotencyKey: string | null
  requestHash: string | null
  attempt: number
  /** Runs of the engine that are not the turn's: they were cancelled while it was abandoned. */
  givenUp: string[]
  position: number | null
  conversationId: string | null
  input: TurnInput | null
  cancelRequestedAt: Date | null
}

/** The write path of a turn: every function is one round trip and safe to repeat. */
export function turnStore(database: Database, limits: TurnLimits) {
  return {
    /** Replay, refusal, or a new turn at its place with everything that its payload needs. */
    async start(turn: NewTurn): Promise<StartOutcome> {
      const argument = JSON.stringify({ ...turn, ...limits })
      const [row] = await database.named<{ outcome: StartOutcome }>(
        'start_turn',
        'select start_turn($1::jsonb) as outcome',
        [argument],
      )
      if (row === undefined) throw new Error('start_turn returned nothing')
      return row.outcome
    },

    /** Reads the context of a turn anew, after runs ahead of it were ended or for another dispatch. */
    async context(conversationId: string, position: number): Promise<TurnContext> {
      const { rows } = await database.run((db) =>
        sql<{ context: TurnContext }>`
          select turn_context(${conversationId}::uuid, ${position}::integer, ${limits.maxMessages}::integer,
            ${limits.maxBytes}::integer) as context`.execute(db),
      )
      return rows[0]?.context ?? { history: [], ahead: [] }
    },

    /** What is needed to dispatch a turn, or to see whether somebody did. */
    async pending(turnIds: string[]): Promise<PendingDispatch[]> {
      if (turnIds.length === 0) return []
      return database.run((db) =>
        db
          .selectFrom('runs')
          .where('id', 'in', turnIds)
          .select([
            'id as turnId',
            'run_id as runId',
            'status',
            'user_id as userId',
            'actor',
            'metadata',
            'idempotency_key as idempotencyKey',
            'request_hash as requestHash',
            'dispatch_attempt as attempt',
            'given_up_runs as givenUp',
            'position',
            'conversation_id as conversationId',
            'input',
            'cancel_requested_at as cancelRequestedAt',
          ])
          .orderBy('position')
          .execute(),
      )
    },

    /** Notes the engine's id. A turn that was abandoned meanwhile is not brought back here. */
    async record(turnId: string, runId: string): Promise<Recorded> {
      const [row] = await database.named<{ cancel: boolean }>(
        'record_run',
        `update runs set run_id = $2, status = case when status = 'dispatching' then 'queued' else status end
         where id = $1 and status <> 'abandoned' and (run_id = $2 or (run_id is null and $2 <> all (given_up_runs)))
         returning cancel_requested_at is not null as cancel`,
        [turnId, runId],
      )
      if (row !== undefined) return { state: 'recorded', cancelRequested: row.cancel }
      const [turn] = await this.pending([turnId])
      if (turn === undefined) return { state: 'gone' }
      return turn.runId === null ? { state: 'abandoned' } : { state: 'other', runId: turn.runId }
    },

    /** Whether turns were placed behind this position of the turn's conversation since then. */
    async isOvertaken(turnId: string, position: number): Promise<boolean> {
      const { rows } = await database.run((db) =>
        sql`select from runs join runs as own on own.conversation_id = runs.conversation_id
            where own.id = ${turnId} and runs.id <> ${turnId} and runs.position > ${position}
              and runs.status <> 'abandoned' limit 1`.execute(db),
      )
      return rows.length > 0
    },

    /**
     * A run of a turn that is being dispatched is not the turn's: another one is sent instead.
     * @returns false when the turn has got a run meanwhile, or was taken back
     */
    async disown(turnId: string, runId: string): Promise<boolean> {
      const { rows } = await database.run((db) =>
        sql`update runs set dispatch_attempt = dispatch_attempt + 1, given_up_runs = given_up_runs || ${runId}::text
            where id = ${turnId} and status = 'dispatching' and run_id is null returning id`.execute(db),
      )
      return rows.length > 0
    },

    /** Puts a revived turn back to the place that its run was made for; places are given out once. */
    async moveBack(turnId: string, position: number, runId: string): Promise<void> {
      await database.run((db) =>
        sql`with place as (
              select id from conversations where id = (select conversation_id from runs where id = ${turnId})
              for no key update
            ), moved as (
              update runs set position = ${position}
              where id = ${turnId} and run_id = ${runId} and position <> ${position} and exists (select from place)
              returning id
            )
            update messages set position = ${position}
            where conversation_id = (select id from place) and run_id in (select id from moved)`.execute(db),
      )
    },

    /**
     * Notes that the run executes; its next certain check is a minute away, unless it waits to be cancelled. The
     * row is found by the engine's id before the turn's, see `finalize_turn`.
     * @returns false when no turn waited for the run to begin
     */
    async markRunning(turnId: string, runId: string, startedAt: Date | null): Promise<boolean> {
      const rows = await database.named(
        'mark_running',
        `update runs set status = 'running', run_id = $2, started_at = coalesce(started_at, $3, now()),
           missed_at = null, check_at = case when cancel_requested_at is null
             then least(deadline_at, now() + interval '60 seconds') else check_at end
         where id = (select id from runs where id = $1 or run_id = $2 order by run_id = $2 desc nulls last limit 1)
           and (run_id = $2 or (run_id is null and $2 <> all (given_up_runs))) and status in ('dispatching', 'queued')
         returning id`,
        [turnId, runId, startedAt],
      )
      return rows.length > 0
    },

    /** Ends the turn. @returns false when it had ended before */
    async finalize(turn: FinalTurn): Promise<boolean> {
      const [row] = await database.named<{ done: boolean }>(
        'finalize_turn',
        'select finalize_turn($1, $2, $3, $4::jsonb, $5, $6::jsonb, $7, $8, $9, $10, $11, $12) as done',
        [
          turn.turnId,
          turn.runId,
          turn.status,
          turn.output === null ? null : JSON.stringify(turn.output),
          turn.text,
          turn.usage === null ? null : JSON.stringify(turn.usage),
          turn.errorCode,
          turn.error,
          turn.frameCount,
          turn.truncated,
          turn.startedAt,
          turn.finishedAt,
        ],
      )
      return row?.done ?? false
    },

    /** Takes a turn back: `gone` when it certainly never reached the engine, else `abandoned`. */
    async withdraw(turnId: string, fate: 'gone' | 'abandoned'): Promise<boolean> {
      const { rows } = await database.run((db) =>
        sql<{
          done: boolean
        }>`select withdraw_turn(${turnId}::uuid, ${fate === 'abandoned'}) as done`.execute(db),
      )
      return rows[0]?.done ?? false
    },

    /**
     * Gives a run that was started without the database its row: a new one, or that of its key or its turn when
     * that has no run. Its end is settled like any other's. `superseded`: its key has got another run.
     */
    async adopt(turn: UnstoredTurn): Promise<'adopted' | 'known' | 'superseded'> {
      const argument = JSON.stringify({ ...turn, deadlineSeconds: limits.deadlineSeconds })
      const { rows } = await database.run((db) =>
        sql<{
          outcome: 'adopted' | 'known' | 'superseded'
        }>`select adopt_turn(${argument}::jsonb) as outcome`.execute(db),
      )
      return rows[0]?.outcome ?? 'known'
    },

    /** Whether the caller has used the key before: a replay costs a read, not a start. */
    async knowsKey(userId: string, key: string): Promise<boolean> {
      const rows = await database.named(
        'knows_key',
        `select 1 from runs where user_id = $1 and idempotency_key = $2 and status <> 'abandoned'`,
        [userId, key],
      )
      return rows.length > 0
    },
  }
}

export type TurnStore = ReturnType<typeof turnStore>
