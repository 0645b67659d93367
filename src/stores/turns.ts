import { sql } from 'kysely'
import { v7 as uuid } from 'uuid'
import type { HistoryMessage, TurnMessage } from '../agent/turn.ts'
import type { TurnWebhook } from '../webhooks/events.ts'
import type { BudgetLimits } from './budgets.ts'
import type { Database } from './database.ts'
import type { Metadata, StoredWindow, TurnInput, TurnState } from './schema.ts'
import { sharedReads } from './shared-reads.ts'
import type { StartOutcome } from './start-outcome.ts'

export type { Placement, StartOutcome } from './start-outcome.ts'

/** A message as it is stored. `text` is the text of all its text parts. */
export type StoredMessage = TurnMessage & { text: string }

export interface NewTurn {
  turnId: string
  userId: string
  actor: string | null
  conversationId: string
  newConversation: boolean
  /** The agent that the request names. Absent: the agent of the conversation, and `default` in a new conversation. */
  agent?: string
  /** The agents that this request may use. */
  agents: string[]
  /** The title for a conversation that has none yet. */
  title: string
  seed: StoredMessage[]
  /** Absent in a retry, whose question is that of the repeated run. */
  message?: StoredMessage
  assistantMessageId: string
  /** Absent in a retry that takes over the metadata of the repeated run. */
  metadata?: Metadata
  ifBusy: 'enqueue' | 'reject' | 'interrupt' | 'steer'
  idempotencyKey: string | null
  requestHash: string | null
  /** The ids of the chat and of its message that open the conversation. */
  openedBy?: string
  /** The chat id of the page that asks, when the page itself has made the id. */
  chatId?: string
  /** The run whose question this turn answers again, at the place of that run's turn. */
  retryOf?: string
  /** The first place of the turns that this edit replaces. The edit itself gets the next place of the conversation. */
  editFrom?: number
  /** The place of the newest turn that the caller knows, 0 for none. The start is refused when there is a newer turn. */
  lastPosition?: number
  /** The run of that turn, if it had one. The start is refused when a retry has replaced that run. */
  lastRunId?: string
  /** The address to which the end of the run is reported. */
  webhook?: TurnWebhook | undefined
}

export interface TurnLimits {
  /** The most unfinished turns that a conversation may have. */
  queueLimit: number
  /** The most places that an edit may replace. */
  editLimit: number
  /** The most messages of history that a turn gets, and the most bytes of their JSON. */
  maxMessages: number
  maxBytes: number
  /**
   * The length of a lease, in seconds. In this time only the start that created a turn may dispatch it, and an abandoned
   * turn waits for a retry. It is longer than a start may take and longer than the engine's lists lag behind.
   */
  leaseSeconds: number
  /** Seconds that a run may be queued and execute before the sweeper ends it, counted from its start. */
  deadlineSeconds: number
  /** Budgets of tokens; absent when none is set. */
  budget?: BudgetLimits
}

/** The budget of a run: the agent stops when its tokens are used up. */
export type RunBudget = { maxTotalTokens: number }

export interface TurnAhead {
  turnId: string
  /** Null while the turn is being dispatched. */
  runId: string | null
  position: number
}

/** Messages before a turn, oldest first, and the unfinished turns ahead of it in their order. */
export interface TurnContext {
  history: Array<HistoryMessage & { position: number }>
  ahead: TurnAhead[]
  /** The values that the conversation keeps for its prompts. The history begins after its summary. */
  window: StoredWindow | null
  /** Messages between the summary and the history, at most 500. */
  omitted: number
}

/** The fields of a turn that concern its dispatch. */
export interface DispatchState {
  turnId: string
  userId: string
  idempotencyKey: string | null
  conversationId: string | null
  state: TurnState
  /** The engine's id of the turn's newest run. */
  runId: string | null
  /** Whether the contents of the turn were deleted with its conversation. */
  deleted: boolean
  /** Whether the turn is a continuation. No caller sends a continuation again. */
  isContinuation: boolean
}

/** A run that was started while the database was away. */
export interface UnstoredTurn {
  turnId: string
  runId: string
  userId: string
  actor: string | null
  metadata: Metadata
  agent: string
  idempotencyKey: string | null
  requestHash: string | null
  input: TurnInput
  webhook?: TurnWebhook | undefined
  createdAt: Date
}

/** The result of recording a run; see `sql/record_run.sql`. `removed`: the turn has no row any more. */
export type Recorded =
  | { state: 'recorded'; cancel: boolean }
  | { state: 'other'; runId: string }
  | { state: 'abandoned' | 'removed' }

const KNOWN_KEYS = `
  select exists (
    select from turns where user_id = wanted.owner and idempotency_key = wanted.key and state <> 'abandoned') as known
  from unnest($1::text[], $2::text[]) with ordinality as wanted(owner, key, at) order by at`

/** Changes of a turn until it has its run. Every function is one round trip and safe to repeat. */
export function turnStore(database: Database, limits: TurnLimits) {
  const knowsKey = sharedReads(async (keys: Array<{ userId: string; key: string }>) => {
    const rows = await database.named<{ known: boolean }>('known_keys', KNOWN_KEYS, [
      keys.map(({ userId }) => userId),
      keys.map(({ key }) => key),
    ])
    return rows.map(({ known }) => known)
  })

  return {
    /**
     * Places a new turn, or finds the turn that its key stands for.
     * @param replaces an abandoned turn of the same key for which the engine has no run
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
      return row?.context ?? { history: [], ahead: [], window: null, omitted: 0 }
    },

    /** The states of the dispatches of these turns. A turn without a row is left out. */
    async states(turnIds: string[]): Promise<DispatchState[]> {
      if (turnIds.length === 0) return []
      return database.named<DispatchState>(
        'turn_states',
        `select id as "turnId", user_id as "userId", idempotency_key as "idempotencyKey",
           conversation_id as "conversationId", state, run_id as "runId", deleted_at is not null as deleted,
           continues is not null as "isContinuation"
         from turns where id = any($1)`,
        [turnIds],
      )
    },

    /**
     * Gives a turn the run that the engine has for it.
     * @param revive also records the run of an abandoned turn. The turn is then shown again at its own place
     */
    async record(turnId: string, runId: string, { revive } = { revive: false }): Promise<Recorded> {
      const [row] = await database.named<{ recorded: Recorded }>(
        'record_run',
        'select record_run($1, $2, $3, $4, $5) as recorded',
        [turnId, runId, uuid(), revive, limits.deadlineSeconds],
      )
      return row?.recorded ?? { state: 'removed' }
    },

    /** Hides a turn whose start had no answer of the engine. @returns false when the turn has its run already */
    async abandon(turnId: string): Promise<boolean> {
      const [row] = await database.named<{ done: boolean }>(
        'abandon_turn',
        'select abandon_turn($1, $2) as done',
        [turnId, limits.leaseSeconds],
      )
      return row?.done ?? false
    },

    /** Removes a turn that has no run. @returns false when the turn has a run, or does not exist */
    async remove(turnId: string): Promise<boolean> {
      const [row] = await database.named<{ done: boolean }>('remove_turn', 'select remove_turn($1) as done', [
        turnId,
      ])
      return row?.done ?? false
    },

    /** Gives a run that was started without the database its rows; see `sql/adopt_run.sql`. */
    async adopt(turn: UnstoredTurn): Promise<'adopted' | 'known' | 'superseded'> {
      const { budget, deadlineSeconds } = limits
      const argument = JSON.stringify({
        ...{ ...turn, id: uuid(), deadlineSeconds },
        ...(budget === undefined ? {} : { budget: { ...budget, perRun: 0 } }),
      })
      const { rows } = await database.run((db) =>
        sql<{
          outcome: 'adopted' | 'known' | 'superseded'
        }>`select adopt_run(${argument}::jsonb) as outcome`.execute(db),
      )
      return rows[0]?.outcome ?? 'known'
    },

    /** Whether the user's key belongs to a turn that is not abandoned. The start is then a replay. */
    knowsKey: async (userId: string, key: string): Promise<boolean> =>
      (await knowsKey({ userId, key })) === true,
  }
}

export type TurnStore = ReturnType<typeof turnStore>
