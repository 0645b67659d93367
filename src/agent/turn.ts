import type { UIMessage } from 'ai'
import type { AskedAction, Continuation } from './actions/action.ts'

export type { ActionKind, AskedAction, Continuation, DecidedAction } from './actions/action.ts'

import type { TurnWarning } from './warnings.ts'

/** The agent of a request that names none, and of every conversation from before there were several. */
export const DEFAULT_AGENT = 'default'

/** Newest version of the payload below. A worker refuses a payload newer than the one it was deployed with. */
export const PAYLOAD_VERSION = 3

/**
 * The version of a payload. An older worker would answer every payload as the agent `default`, and a continuation from its
 * beginning (before version 3), and a payload with a `responseFormat` in prose (before version 2).
 */
export function payloadVersion({
  agent,
  continues,
  responseFormat,
}: Pick<AgentTurn, 'agent' | 'continues' | 'responseFormat'>): number {
  if (continues !== undefined || (agent !== undefined && agent !== DEFAULT_AGENT)) return 3
  return responseFormat === undefined ? 1 : 2
}

/** The Trigger.dev task that runs a turn, its queue, and the stream that it writes to. */
export const AGENT_TASK_ID = 'agent-chat'
export const AGENT_QUEUE = 'agent-chat'
export const AGENT_STREAM = 'ui'

/** One message as the worker receives and returns it: AI SDK's UI message without metadata. */
export type TurnMessage = Pick<UIMessage, 'id' | 'role' | 'parts'>

/** A message of the history. `status` tells how the turn of an answer ended, and is absent when the answer is whole. */
export type HistoryMessage = TurnMessage & { status?: 'complete' | 'cancelled' | 'failed' }

/**
 * One turn of the agent, the payload of one Trigger.dev run. Plain JSON, at most 120 KiB serialized:
 * from 128 KiB on Trigger.dev needs an object store.
 */
export interface AgentTurn {
  version: number
  /** Id of the turn's row; also a tag of the run. */
  turnId: string
  conversationId: string | null
  /** The name of the agent that answers; `default` in payloads of services that knew no other. */
  agent?: string
  /** The turn's place in its conversation, for the service. */
  position?: number
  /** The user's message. */
  message: TurnMessage
  /** Turns before this one that had ended when it was started, oldest first. */
  history: HistoryMessage[]
  /** Runs of the conversation that had not ended, oldest first; the worker reads them from the engine. */
  ahead: string[]
  /**
   * For each run ahead, how many messages of `history` stand before its turn: a run whose end is stored late may stand
   * before turns that have ended. When the list is absent, the whole history stands before each run ahead.
   */
  aheadAfter?: number[]
  /** The id of the answer: the same in stream, poll and conversation. */
  assistantMessageId: string
  /** W3C trace context of the request that started the turn. */
  traceparent?: string
  /** The owner of a turn that could not be stored. The service adopts the run when the database is back. */
  origin?: TurnOrigin
  /** The user and actor of the request, for instructions and tools. The model reads only what these pass on. */
  caller?: TurnCaller
  /** The `context` of the request, at most 16 KiB as JSON. Only instructions and tools read it. */
  context?: Record<string, unknown>
  /** What the request allows the turn, where that is less than the settings allow. An older worker ignores it. */
  limits?: TurnLimits
  /** The form that the answer must have. */
  responseFormat?: ResponseFormat
  /** What stands for the messages before `history`. */
  summary?: TurnSummary
  /** Messages before `history` that neither the payload nor the summary holds. */
  omitted?: number
  /** Characters of a prompt for each of its tokens, as the provider has counted the conversation's last prompt. */
  charactersPerToken?: number
  /** What is reserved for the run in its user's budget: the turn ends when it has used as many tokens. */
  budget?: { maxTotalTokens: number }
  /** The answer so far and what was decided about its calls, when the run goes on with a turn that has waited. */
  continues?: Continuation
}

/** Bounds of one turn. Each one ends the turn as completed, with its own finish reason. */
export interface TurnLimits {
  /** Calls of the model. */
  maxSteps?: number
  /** Tokens of one answer of the model. */
  maxOutputTokens?: number
  /** Tokens of the whole turn, input and output of all calls. */
  maxTotalTokens?: number
  /** Seconds from the moment when the worker begins the turn. */
  maxSeconds?: number
}

/** The answer must be JSON that fits a JSON Schema (2020-12) of an object, at most 16 KiB. */
export interface ResponseFormat {
  type: 'json_schema'
  name: string
  schema: Record<string, unknown>
}

/** A text that stands for the oldest messages of a conversation. */
export interface TurnSummary {
  text: string
  /** How many messages it stands for. */
  messages: number
  /** How many messages before its end it does not know, because they were dropped before it was written. */
  dropped: number
}

/** A summary that a turn has written. */
export interface NewSummary extends TurnSummary {
  /**
   * Ids of the last messages that it stands for. The newest of them that is stored counts, and with it its whole turn:
   * the end of an earlier run may be stored later than that of this run.
   */
  through: string[]
}

/** How many messages of the conversation a prompt has, how many a summary stands for, and how many are missing. */
export interface HistoryCounts {
  sent: number
  summarized: number
  dropped: number
}

/** What the conversation keeps of a run for its later prompts. */
export interface KeptWindow {
  summary?: NewSummary
  charactersPerToken?: number
}

/** The user for whom a turn runs. `actor` names who acts for the user (RFC 8693, nearest first), or is null. */
export interface TurnCaller {
  userId: string
  actor: string | null
  scopes: string[]
}

export interface TurnOrigin {
  userId: string
  actor: string | null
  metadata: Record<string, string>
  idempotencyKey: string | null
  requestHash: string | null
  /** The address to which the service reports the end of the run. The worker does not call it. */
  webhook?: { url: string; origin: string }
}

/**
 * Tokens of all steps of a turn; `estimated` is true when the provider did not report all of them. Cached tokens are
 * part of the input, reasoning tokens are part of the output. Each is absent when the provider does not count it.
 */
export interface TurnUsage {
  inputTokens: number
  outputTokens: number
  totalTokens: number
  cachedInputTokens?: number
  reasoningTokens?: number
  estimated?: boolean
}

/**
 * Why a turn completed. At `action_required` it waits for somebody and goes on later. At `step_limit`, `tool_loop` and
 * `steered` the agent was stopped between two steps, at `token_limit`, `budget` and `time_limit` anywhere. At `steered`
 * the next message of the conversation is answered by the run that `steeredBy` names.
 */
export type FinishReason =
  | 'stop'
  | 'length'
  | 'content_filter'
  | 'step_limit'
  | 'token_limit'
  | 'time_limit'
  | 'tool_loop'
  | 'budget'
  | 'action_required'
  | 'steered'
  | 'other'

/** Milliseconds. `firstTokenMs` and `durationMs` count from the moment when the worker began the turn. */
export interface TurnTimings {
  /** From the creation of the run until the worker began the turn. */
  queuedMs?: number
  /** Until the first word of the answer; absent when there was none. */
  firstTokenMs?: number
  durationMs: number
}

/** Facts about a turn beside its answer, for completed, failed and cancelled turns. */
export interface TurnFacts {
  usage: TurnUsage
  /** Calls of the model. */
  steps: number
  /** The model that answered, or was asked last. */
  model: string
  timings: TurnTimings
  /** Absent when the turn failed before its first prompt was made. */
  history?: HistoryCounts
  /** Absent when nothing was missing. */
  warnings?: TurnWarning[]
}

/** The data of the `data-usage` chunks: the usage so far, and the facts beside it. */
export type UsageChunkData = TurnUsage & Omit<TurnFacts, 'usage'>

/** The result of a turn of the agent. `uiMessage.id` is the turn's `assistantMessageId`. */
export interface TurnOutput {
  uiMessage: TurnMessage
  usage: TurnUsage
  /** A `FinishReason`; older workers wrote the AI SDK's own words: read it with `readReason`. */
  finishReason: string
  /** These three are absent in outputs of older workers. */
  steps?: number
  model?: string
  timings?: TurnTimings
  history?: HistoryCounts
  warnings?: TurnWarning[]
  /** True when the last text of the answer is JSON that fits the turn's `responseFormat`. */
  structured?: boolean
  window?: KeptWindow
  /** The calls for which the turn waits, when its finish reason is `action_required`. */
  pendingActions?: AskedAction[]
  /** The run for which the turn was ended, when its finish reason is `steered`. */
  steeredBy?: string
  /** True when the text of the answer is cut in this output. Only the stream has the whole text. */
  textCut?: boolean
}

/** The output of a run, at most 120 KiB serialized. */
export interface AgentOutput extends TurnOutput {
  /** Number of records in the stream. A reader that has seen this many has seen the whole stream. */
  chunkCount: number
}

/**
 * A record of the stream: an AI SDK UI message chunk with its index. Indices are contiguous from 0, so a reader
 * notices a gap or a repetition without the engine's own ids.
 */
export interface IndexedChunk<Chunk = Record<string, unknown> & { type: string }> {
  index: number
  chunk: Chunk
}
