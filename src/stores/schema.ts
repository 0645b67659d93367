import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type {
  AskedAction,
  FinishReason,
  HistoryCounts,
  KeptWindow,
  TurnMessage,
  TurnSummary,
  TurnTimings,
  TurnUsage,
} from '../agent/turn.ts'
import type { TurnWarning } from '../agent/warnings.ts'
import type { PublicStatus } from '../engine/run-status.ts'
import type { TurnWebhook } from '../webhooks/events.ts'

export type Metadata = Record<string, string>
/** The greatest number of pairs that a run or a conversation may carry. */
export const MAX_METADATA_PAIRS = 16

type Timestamp = ColumnType<Date, Date | string | undefined, Date | string>
type Json<T> = JSONColumnType<T & object, string, string>

/** The state of the dispatch of a turn; see migration 0006. */
export type TurnState = 'dispatching' | 'abandoned' | 'started'

/** The values that a conversation keeps for its prompts. */
export interface StoredWindow {
  summary?: StoredSummary
  charactersPerToken?: number
}

/** A summary, with the id and the place of the last message that it stands for. */
export interface StoredSummary extends TurnSummary {
  through: string
  position: number
  seq: number
}

export interface ConversationsTable {
  id: string
  user_id: string
  /** Null until the first message gives it one. */
  title: string | null
  metadata: Json<Metadata>
  /** Null until the first turn fixes it. */
  agent: string | null
  next_position: Generated<number>
  /** Hidden while the turn that opened the conversation is abandoned. */
  hidden: Generated<boolean>
  summary: Json<StoredSummary> | null
  /** The ratio in the provider's count of the last prompt; null until a run has measured a prompt in tokens. */
  characters_per_token: number | null
  /** The ids of the chat and of its message that opened the conversation. */
  opened_by: string | null
  created_at: Timestamp
  updated_at: Timestamp
  last_activity_at: Timestamp
}

/** The stored part of the request that started a turn. */
export interface TurnInput {
  message: TurnMessage & { text: string }
  /** Whether the turn has opened its conversation. */
  newConversation: boolean
  assistantMessageId: string
  /** The other parts of the request, which its continuation needs. Stored when the turn waits. */
  asked?: Record<string, unknown> | null
}

/** The tokens that are reserved for a run on this day, in the budgets of this user and this actor. */
export interface Reservation {
  tokens: number
  day: string
  user?: string
  actor?: string
}

export interface TurnsTable {
  id: string
  conversation_id: string | null
  user_id: string
  actor: string | null
  agent: Generated<string>
  state: TurnState
  /** The engine's id of the newest run. */
  run_id: string | null
  position: number | null
  input: Json<TurnInput> | null
  metadata: Json<Metadata>
  idempotency_key: string | null
  request_hash: string | null
  /** When a caller asked to cancel the turn before it had a run. */
  cancel_requested_at: Timestamp | null
  /** When the lease ends, or when the sweeper asks the engine for the run of an abandoned turn again. */
  check_at: Timestamp | null
  /** The former place of a superseded turn; see migration 0010. */
  former_position: number | null
  /** The turn that has replaced this turn. */
  superseded_by: string | null
  /** The first place of the turns that this turn has replaced, and the ids of these turns. */
  replaces_from: number | null
  replaced: string[] | null
  /** The engine's id of the run that this turn repeats. */
  retry_of: string | null
  /** The summary that this edit has removed from its conversation. */
  replaced_summary: Json<StoredSummary> | null
  /** The chat id of the page that has asked, when the page itself has made the id. */
  chat_id: string | null
  reservation: Json<Reservation> | null
  /** The address to which the end of a run is reported. */
  webhook: Json<TurnWebhook> | null
  /** The turn that this turn continues, and the turn that continues this turn; see migration 0019. */
  continues: string | null
  continued_by: string | null
  deleted_at: Timestamp | null
  dispatched_at: Timestamp
  created_at: Timestamp
}

/** Facts about a run that has ended, beside its answer. Unknown facts are absent. */
export interface RunFacts {
  /** Why a completed run has ended. */
  finishReason?: FinishReason
  /** Number of calls of the model. */
  steps?: number
  /** The model that answered, or was asked last. */
  model?: string
  timings?: Partial<TurnTimings>
  /** Seconds after which the model provider allows another call. */
  retryAfter?: number
  history?: HistoryCounts
  /** Tools and contents that were missing in the run. */
  warnings?: TurnWarning[]
  /** The run for which the turn was ended between two steps. */
  steeredBy?: string
  /** Whether the last text of the answer is JSON of the requested form. */
  structured?: boolean
}

/** The facts with which a run is ended. The `window` is stored in the row of the conversation. */
export interface EndFacts extends RunFacts {
  window?: KeptWindow
  pendingActions?: AskedAction[]
  /** The parts of the request beside its message, which the continuation gets, too. */
  asked?: Record<string, unknown>
}

export interface RunsTable {
  id: string
  turn_id: string
  run_id: string
  conversation_id: string | null
  user_id: string
  actor: string | null
  agent: Generated<string>
  status: PublicStatus
  position: number | null
  output: Json<TurnMessage> | null
  error_code: string | null
  error: string | null
  usage: Json<TurnUsage> | null
  facts: Json<RunFacts> | null
  metadata: Json<Metadata>
  cancel_requested_at: Timestamp | null
  /** When the engine first said that it does not know the run. */
  missed_at: Timestamp | null
  /** The engine's ids of the run that this run repeats, and of the run that has replaced this run. */
  retry_of: string | null
  superseded_by: string | null
  /** The engine's ids of the run that this run continues, and of the run that continues this run. */
  continues: string | null
  continued_by: string | null
  reservation: Json<Reservation> | null
  frame_count: number | null
  truncated: Generated<boolean>
  check_at: Timestamp | null
  deadline_at: Timestamp
  deleted_at: Timestamp | null
  created_at: Timestamp
  started_at: Timestamp | null
  finished_at: Timestamp | null
}

export interface MessagesTable {
  id: string
  conversation_id: string
  turn_id: string | null
  position: number
  seq: number
  role: 'user' | 'assistant'
  text: string
  parts: Json<TurnMessage['parts']>
  status: Generated<'complete' | 'cancelled' | 'failed' | 'abandoned'>
  finish_reason: FinishReason | null
  created_at: Timestamp
}

export interface Schema {
  conversations: ConversationsTable
  turns: TurnsTable
  runs: RunsTable
  messages: MessagesTable
  service_identity: { singleton: Generated<boolean>; id: string }
}
