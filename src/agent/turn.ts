import type { UIMessage } from 'ai'

/** Version of the payload below. A worker refuses a payload newer than the one it was deployed with. */
export const PAYLOAD_VERSION = 1

/** The Trigger.dev task that runs a turn, its queue, and the stream that it writes to. */
export const AGENT_TASK_ID = 'agent-chat'
export const AGENT_QUEUE = 'agent-chat'
export const AGENT_STREAM = 'ui'

/** One message as the worker receives and returns it: AI SDK's UI message without metadata. */
export type TurnMessage = Pick<UIMessage, 'id' | 'role' | 'parts'>

/**
 * One turn of the agent, the payload of one Trigger.dev run. Plain JSON, at most 120 KiB serialized:
 * from 128 KiB on Trigger.dev needs an object store.
 */
export interface AgentTurn {
  version: number
  /** Id of the turn's row; also a tag of the run. */
  turnId: string
  conversationId: string | null
  /** The turn's place in its conversation, for the service. */
  position?: number
  /** The user's message. */
  message: TurnMessage
  /** Turns before this one that had ended when it was started, oldest first. */
  history: TurnMessage[]
  /** Runs of the conversation that had not ended, oldest first; the worker reads them from the engine. */
  ahead: string[]
  /**
   * How many messages of `history` stand before the turn of each run ahead: one whose end is stored late may stand
   * before turns that had ended. Absent: all of them.
   */
  aheadAfter?: number[]
  /** The id of the answer: the same in stream, poll and conversation. */
  assistantMessageId: string
  /** W3C trace context of the request that started the turn. */
  traceparent?: string
  /** Whose turn it is, when it could not be stored: the service adopts the run once the database is back. */
  origin?: TurnOrigin
}

export interface TurnOrigin {
  userId: string
  actor: string | null
  metadata: Record<string, string>
  idempotencyKey: string | null
  requestHash: string | null
}

/** Tokens of all steps of a turn; `estimated` when the provider did not report all of them. */
export interface TurnUsage {
  inputTokens: number
  outputTokens: number
  totalTokens: number
  estimated?: boolean
  /** The model that was asked. For the operator's metrics; callers are not told. */
  model?: string
}

/** What a turn of the agent comes to. `uiMessage.id` is the turn's `assistantMessageId`. */
export interface TurnOutput {
  uiMessage: TurnMessage
  usage: TurnUsage
  finishReason: string
  /** The answer's text is cut here and whole in the stream only. */
  textCut?: boolean
}

/** What the run returns, at most 120 KiB serialized. */
export interface AgentOutput extends TurnOutput {
  /** Records that the stream holds: a reader that has seen as many is done. */
  chunkCount: number
}

/**
 * What the stream holds: AI SDK UI message chunks with their place. Indices are contiguous from 0, so that a
 * reader sees a gap or a repetition whatever the backend's own ids say.
 */
export interface IndexedChunk<Chunk = Record<string, unknown> & { type: string }> {
  index: number
  chunk: Chunk
}
