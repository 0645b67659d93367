import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'

export type Metadata = Record<string, string>
/** Most pairs that a run or a conversation may carry. */
export const MAX_METADATA_PAIRS = 16

type Timestamp = ColumnType<Date, Date | string | undefined, Date | string>
type Json<T> = JSONColumnType<T & object, string, string>

/** How far the dispatch of a turn is; see migration 0006. */
export type TurnState = 'dispatching' | 'abandoned' | 'started'

export interface ConversationsTable {
  id: string
  user_id: string
  /** Null until the first message gives it one. */
  title: string | null
  metadata: Json<Metadata>
  next_position: Generated<number>
  /** Opened by a turn whose start had no answer of the engine: nothing shows it. */
  hidden: Generated<boolean>
  created_at: Timestamp
  updated_at: Timestamp
  last_activity_at: Timestamp
}

/** What a turn was started with. */
export interface TurnInput {
  message: TurnMessage & { text: string }
  /** The turn has opened its conversation. */
  newConversation: boolean
  assistantMessageId: string
}

export interface TurnsTable {
  id: string
  conversation_id: string | null
  user_id: string
  actor: string | null
  state: TurnState
  /** The engine's id of the newest run. */
  run_id: string | null
  position: number | null
  input: Json<TurnInput> | null
  metadata: Json<Metadata>
  idempotency_key: string | null
  request_hash: string | null
  /** A wish that came before the run. */
  cancel_requested_at: Timestamp | null
  /** When the lease ends, or when the sweeper looks for the run of an abandoned turn again. */
  check_at: Timestamp | null
  deleted_at: Timestamp | null
  dispatched_at: Timestamp
  created_at: Timestamp
}

export interface RunsTable {
  id: string
  turn_id: string
  run_id: string
  conversation_id: string | null
  user_id: string
  status: PublicStatus
  position: number | null
  output: Json<TurnMessage> | null
  error_code: string | null
  error: string | null
  usage: Json<TurnUsage> | null
  metadata: Json<Metadata>
  cancel_requested_at: Timestamp | null
  /** When the engine first said that it does not know the run. */
  missed_at: Timestamp | null
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
  created_at: Timestamp
}

export interface Schema {
  conversations: ConversationsTable
  turns: TurnsTable
  runs: RunsTable
  messages: MessagesTable
  service_identity: { singleton: Generated<boolean>; id: string }
}
