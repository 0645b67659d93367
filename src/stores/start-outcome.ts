import type { RunBudget, StoredMessage, TurnAhead, TurnContext } from './turns.ts'

/** The result of placing a turn; see `sql/start_turn.sql`. */
export type StartOutcome =
  | (TurnContext & Placement)
  | { outcome: 'replay'; turnId: string; runId: string | null; conversationId: string | null }
  | { outcome: 'unresolved'; turnId: string; deleted: boolean }
  | { outcome: 'mismatch' | 'conversation_not_found' }
  | { outcome: 'agent_mismatch' | 'agent_refused'; agent: string }
  | { outcome: 'busy' | 'queue_full'; activeRunId: string | null }
  | { outcome: 'live'; activeRunId: string }
  | { outcome: 'changed'; headMessageId: string | null }
  | { outcome: 'not_last'; headMessageId: string | null; supersededBy: string | null }
  | { outcome: 'edit_long' }
  | { outcome: 'budget_exhausted'; scope: 'user' | 'actor'; retryAfter: number }

/** The place of a turn. A retry gets the conversation and the question of the turn that it repeats. */
export interface Placement {
  outcome: 'created'
  position: number
  /** The agent of the conversation. */
  agent: string
  conversationId?: string
  message?: StoredMessage
  /** Unfinished turns that this turn has replaced. The start cancels them. */
  superseded?: TurnAhead[]
  /** Continuations of turns whose wait this turn has ended. The start dispatches them. */
  continuations?: string[]
  /** The tokens that are reserved for the run, when a budget is set. */
  budget?: RunBudget
}
