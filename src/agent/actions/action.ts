import type { TurnMessage } from '../turn.ts'

/** What the turn waits for: somebody's yes, or the result of a tool that the caller executes. */
export type ActionKind = 'approval' | 'tool_result'

/** A tool call for which the turn waits. */
export interface AskedAction {
  actionId: string
  toolCallId: string
  toolName: string
  args: unknown
  kind: ActionKind
  /** A sentence of the tool for the person who decides. */
  message?: string
  createdAt: string
  expiresAt: string
}

/** What became of an action, as the database has it. The arguments are those of the call that was asked about. */
export interface DecidedAction {
  actionId: string
  /** The run that made the call: the idempotency key of the call is made from it. */
  runId: string
  toolCallId: string
  toolName: string
  args: unknown
  kind: ActionKind
  status: 'approved' | 'denied' | 'answered' | 'expired'
  /** Why the call was denied. */
  reason?: string
  /** What the caller's tool has returned, or the sentence with which it has failed. */
  output?: unknown
  error?: string
}

/** The turn goes on: the answer of the run that has waited, and what was decided about its calls. */
export interface Continuation {
  runId: string
  message: TurnMessage
  actions: DecidedAction[]
}
