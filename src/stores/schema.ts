import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'

export type Metadata = Record<string, string>
/** Most pairs that a run or a conversation may carry. */
export const MAX_METADATA_PAIRS = 16

type Timestamp = ColumnType<Date, Date | string | undefined, Date | string>
type Json<T> = JSONColumnType<T & object, string, string>

/** `dispatching` and `abandoned` are never shown; see the first migration. */
export type StoredStatus = PublicStatus | 'dispatching' | 'abandoned'

export interface ConversationsTable {
  id: string
  user_id: string
  title: string
  metadata: Json<Metadata>
  next_position: Generated<number>
  created_at: Timestamp
  updated_at: Timestamp
  last_activity_at: Timestamp
}

/** What a turn was started with: enough to dispatch it again from another process. */
export interface TurnInput {
  message: TurnMessage & { text: string }
  conversationId: string | null
  newConversation: boolean
  assistantMessageId: string
}

export interface RunsTable {
  id: string
  run_id: string | null
  conversation_id: string | null
  user_id: string
  actor: string | null
  status: StoredStatus
  position: number | null
  input: Json<TurnInput> | null
  output: Json<TurnMessage> | null
  error_code: string | null
  error: string | null
  usage: Json<TurnUsage> | null
  metadata: Json<Metadata>
  idempotency_key: string | null
  request_hash: string | null
  dispatch_attempt: Generated<number>
  /** The engine's runs that were cancelled while the turn was abandoned. */
  given_up_runs: Generated<string[]>
  cancel_requested_at: Timestamp | null
  /** When the engine first said that it does not know the run. */
  missed_at: Timestamp | null
  open_approvals: Generated<number>
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
  run_id: string | null
  position: number
  seq: number
  role: 'user' | 'assistant'
  text: string
  parts: Json<TurnMessage['parts']>
  status: Generated<'complete' | 'cancelled' | 'failed'>
  created_at: Timestamp
}

export interface Schema {
  conversations: ConversationsTable
  runs: RunsTable
  messages: MessagesTable
  service_identity: { singleton: Generated<boolean>; id: string }
}
