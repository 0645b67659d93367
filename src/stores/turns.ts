import { sql } from 'kysely'
import { v7 as uuid } from 'uuid'
import type { TurnMessage } from '../agent/turn.ts'
import type { Database } from './database.ts'
import type { Metadata, TurnInput, TurnState } from './schema.ts'

/** A message as it is stored: `text` is what its text parts add up to. */
export type StoredMessage = TurnMessage & { text: string }

export interface NewTurn {
  turnId: string
  userId: string
  actor: string | null
  conversationId: string
  newConversation: boolean
  /** Of a conversation that has none yet. */
  title: string
  seed: StoredMessage[]
  message: StoredMessage
  assistantMessageId: string
  metadata: Metadata
  ifBusy: 'enqueue' | 'reject' | 'interrupt'
  idempotencyKey: string | null
  requestHash: string | null
}

export interface TurnLimits {
  /** Unfinished turns that a conversation may have. */
  queueLimit: number
  /** Messages of history that a turn is given, and bytes of their JSON. */
  maxMessages: number
  maxBytes: number
  /**
   * For how long the start that creates a turn owns its dispatch, and an abandoned turn waits for a retry. Longer than a
   * start may take and than the engine's lists may lag behind.
   */
  leaseSeconds: number
  /** For how long a run may wait and execute before the sweeper ends it, counted from its start. */
  deadlineSeconds: number
}

export interface TurnAhead {
  turnId: string
  /** Null while the turn is being dispatched. */
  runId: string | null
  position: number
}

/** Messages before a turn, oldest first, and the unfinished turns ahead of it in their order. */
export interface TurnContext {
  history: Array<TurnMessage & { position: number }>
  ahead: TurnAhead[]
}

/** What became of a start; see `sql/start_turn.sql`. */
export type StartOutcome =
  | (TurnContext & { outcome: 'created'; position: number })
  | { outcome: 'replay'; turnId: string; runId: string | null; conversationId: string | null }
  | { outcome: 'unresolved'; turnId: string; deleted: boolean }
  | { outcome: 'mismatch' | 'conversation_not_found' }
  | { outcome: 'busy' | 'queue_full'; activeRunId: string | null }

/** A turn as far as its dispatch is concerned. */
export interface DispatchState {
  turnId: string
  userId: string
  idempotencyKey: string | null
  conversationId: string | null
  state: TurnState
  /** The engine's id of the turn's newest run. */
  runId: string | null
  /** The contents of the turn were deleted with its conversation. */
  deleted: boolean
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

/** What became of recording a run; see `sql/record_run.sql`. */
export type Recorded =
  | { state: 'recorded'; cancel: boolean }
  | { state: 'other'; runId: string }
  | { state: 'abandoned' | 'gone' }

/** Turns until they have their run. Every function is one round trip and safe to repeat. */
export function turnStore(database: Database, limits: TurnLimits) {
  return {
    /**
     * Places a new turn, or tells what the key stands for.
     * @param replaces an unresolved turn of the same key for which no run was found
     */
    async start(turn: NewTurn, replaces?: string): Promise<StartOutcome> {
      const argument = JSON.stringify({ ...turn, ...limits, replaces })
      const [row] = await database.named<{ outcome: StartOutcome }>(
        'start_turn',
        'select start_turn($1::jsonb) as outcome',
        [argument],
      )
      if (row === undefined) throw new Error('start_turn returned no row')
      return row.outcome
    },

    /** Reads the context of a turn again, after turns ahead of it were ended. */
    async context(conversationId: string, position: number): Promise<TurnContext> {
      const [row] = await database.named<{ context: TurnContext }>(
        'turn_context',
        'select turn_context($1, $2, $3, $4) as context',
        [conversationId, position, limits.maxMessages, limits.maxBytes],
      )
      return row?.context ?? { history: [], ahead: [] }
    },

    /** How far the dispatch of these turns is; those that do not exist are left out. */
    async states(turnIds: string[]): Promise<DispatchState[]> {
      if (turnIds.length === 0) return []
      return database.named<DispatchState>(
        'turn_states',
        `select id as "turnId", user_id as "userId", idempotency_key as "idempotencyKey",
           conversation_id as "conversationId", state, run_id as "runId", deleted_at is not null as deleted
         from turns where id = any($1)`,
        [turnIds],
      )
    },

    /**
     * Gives a turn the run that the engine has for it.
     * @param revive also when the turn was abandoned: it goes on at its own place and is shown again
     */
    async record(turnId: string, runId: string, { revive } = { revive: false }): Promise<Recorded> {
      const [row] = await database.named<{ recorded: Recorded }>(
        'record_run',
        'select record_run($1, $2, $3, $4, $5) as recorded',
        [turnId, runId, uuid(), revive, limits.deadlineSeconds],
      )
      return row?.recorded ?? { state: 'gone' }
    },

    /** Hides a turn whose start had no answer of the engine. @returns false when it has its run already */
    async abandon(turnId: string): Promise<boolean> {
      const [row] = await database.named<{ done: boolean }>(
        'abandon_turn',
        'select abandon_turn($1, $2) as done',
        [turnId, limits.leaseSeconds],
      )
      return row?.done ?? false
    },

    /** Removes a turn that has no run. @returns false when it has one, or is gone */
    async remove(turnId: string): Promise<boolean> {
      const [row] = await database.named<{ done: boolean }>('remove_turn', 'select remove_turn($1) as done', [
        turnId,
      ])
      return row?.done ?? false
    },

    /** Gives a run that was started without the database its rows; see `sql/adopt_run.sql`. */
    async adopt(turn: UnstoredTurn): Promise<'adopted' | 'known' | 'superseded'> {
      const argument = JSON.stringify({ ...turn, id: uuid(), deadlineSeconds: limits.deadlineSeconds })
      const { rows } = await database.run((db) =>
        sql<{
          outcome: 'adopted' | 'known' | 'superseded'
        }>`select adopt_run(${argument}::jsonb) as outcome`.execute(db),
      )
      return rows[0]?.outcome ?? 'known'
    },

    /** Whether the caller's key stands for a turn that is shown: its replay costs a read, not a start. */
    async knowsKey(userId: string, key: string): Promise<boolean> {
      const rows = await database.named(
        'knows_key',
        `select 1 from turns where user_id = $1 and idempotency_key = $2 and state <> 'abandoned'`,
        [userId, key],
      )
      return rows.length > 0
    },
  }
}

export type TurnStore = ReturnType<typeof turnStore>
