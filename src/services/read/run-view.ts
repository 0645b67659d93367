import { convertToModelMessages, type JSONValue, type ModelMessage, type ToolSet, type UIMessage } from 'ai'
import { lastText, readJson } from '../../agent/structured/answer-text.ts'
import type { FinishReason, HistoryCounts, TurnTimings, TurnUsage } from '../../agent/turn.ts'
import type { TurnWarning } from '../../agent/warnings.ts'
import type { PublicStatus } from '../../engine/run-status.ts'
import { runFailure } from '../../run-failures.ts'
import type { PendingAction } from '../../stores/actions.ts'
import type { RunRecord, RunSummaryRecord } from '../../stores/runs.ts'
import type { Metadata } from '../../stores/schema.ts'
import { type ToolCallView, textOf, toolCallsOf } from '../end/answer.ts'

/** A run in lists. */
export interface RunSummaryView {
  runId: string
  status: PublicStatus
  conversationId?: string
  agent: string
  actor?: string
  createdAt: string
  startedAt?: string
  finishedAt?: string
  cancelRequestedAt?: string
  metadata: Metadata
  /** The run whose question this one answers again, and the run that has replaced this one in its conversation. */
  retryOf?: string
  supersededBy?: string
  /** The run that this run continues, and the run that continues this one. */
  continues?: string
  continuedBy?: string
  /** The calls for which the turn waits. */
  pendingActions?: PendingAction[]
  error?: string
  errorCode?: string
  retryable?: boolean
  retryAfter?: number
  finishReason?: FinishReason
  steps?: number
  model?: string
  usage?: TurnUsage
  timings?: Partial<TurnTimings>
  history?: HistoryCounts
  warnings?: TurnWarning[]
}

/** The body of a poll (docs/api.md#4-poll). */
export interface RunView extends RunSummaryView {
  queue?: { position: number; ahead: string[] }
  messageId?: string
  text?: string
  output?: unknown
  messages?: ModelMessage[]
  toolCalls?: ToolCallView[]
  truncated?: boolean
}

export function summaryView(run: RunSummaryRecord): RunSummaryView {
  const {
    runId,
    status,
    conversationId,
    agent,
    actor,
    createdAt,
    startedAt,
    finishedAt,
    cancelRequestedAt,
    metadata,
    usage,
  } = run
  const { structured: _, ...facts } = run.facts ?? {}
  return {
    runId,
    status,
    ...(conversationId === null ? {} : { conversationId }),
    agent,
    ...(actor === null ? {} : { actor }),
    createdAt: createdAt.toISOString(),
    ...(startedAt === null ? {} : { startedAt: startedAt.toISOString() }),
    ...(finishedAt === null ? {} : { finishedAt: finishedAt.toISOString() }),
    ...(cancelRequestedAt === null || status === 'completed'
      ? {}
      : { cancelRequestedAt: cancelRequestedAt.toISOString() }),
    metadata,
    ...(run.retryOf === null ? {} : { retryOf: run.retryOf }),
    ...(run.supersededBy === null ? {} : { supersededBy: run.supersededBy }),
    ...(run.continues === null ? {} : { continues: run.continues }),
    ...(run.continuedBy === null ? {} : { continuedBy: run.continuedBy }),
    ...(run.pendingActions === null ? {} : { pendingActions: run.pendingActions.map(pendingView) }),
    ...(run.errorCode === null ? {} : failureView(run.errorCode, run.error)),
    ...facts,
    ...(usage === null ? {} : { usage }),
  }
}

/** Makes the view from the row alone, because a poll never asks the engine. */
export async function runView(run: RunRecord): Promise<RunView> {
  const summary = summaryView(run)
  switch (run.status) {
    case 'queued':
      return run.ahead === null
        ? summary
        : { ...summary, queue: { position: run.ahead.length, ahead: run.ahead.filter(Boolean) } }
    case 'running':
      return summary
    case 'completed':
      return { ...summary, ...(await answer(run)), ...(run.truncated ? { truncated: true } : {}) }
    case 'failed':
    case 'cancelled':
      return {
        ...summary,
        ...said(run),
        ...calls(run),
        ...(run.truncated ? { truncated: true } : {}),
      }
  }
}

/** The times of a run as all answers show them. */
const pendingView = ({ createdAt, expiresAt, ...action }: PendingAction): PendingAction => ({
  ...action,
  createdAt: new Date(createdAt).toISOString(),
  expiresAt: new Date(expiresAt).toISOString(),
})

function failureView(errorCode: string, error: string | null) {
  const failure = runFailure(errorCode)
  return { error: error ?? failure.message, errorCode, retryable: failure.retryable }
}

/** The id of the answer's message. It is the same here, in the stream's `start` and in the conversation. */
function said({ output }: RunRecord) {
  return output === null ? { text: '' } : { messageId: output.id, text: textOf(output) }
}

/** The calls of a continued turn. The result of an approved call may not be known. */
function calls({ continues, output }: RunRecord) {
  return continues === null || output === null ? {} : { toolCalls: toolCallsOf(output) }
}

/** The value of an answer that has the requested form. */
function outputOf({ facts, output }: RunRecord) {
  const read = facts?.structured && output !== null ? readJson(lastText(output.parts)) : undefined
  return read === undefined ? {} : { output: read.value }
}

async function answer(run: RunRecord) {
  const { message, output } = run
  const messages = [message, output].filter((one) => one !== null)
  const toolCalls = output === null ? [] : toolCallsOf(output)
  const tools = Object.fromEntries(toolCalls.map(({ toolName }) => [toolName, STORED_TOOL]))
  return {
    ...said(run),
    ...outputOf(run),
    messages: await convertToModelMessages(messages.map(bare), { ignoreIncompleteToolCalls: true, tools }),
    toolCalls,
  }
}

/** Stored outputs of tools are plain JSON, so this spares the copy by which the SDK makes sure of that. */
const STORED_TOOL = {
  toModelOutput: ({ output }: { output: JSONValue | undefined }) =>
    typeof output === 'string'
      ? { type: 'text' as const, value: output }
      : { type: 'json' as const, value: output ?? null },
} as unknown as ToolSet[string]

const bare = ({ role, parts }: Omit<UIMessage, 'id'>) => ({ role, parts })
