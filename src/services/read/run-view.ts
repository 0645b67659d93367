import { convertToModelMessages, type ModelMessage, type UIMessage } from 'ai'
import type { TurnUsage } from '../../agent/turn.ts'
import type { PublicStatus } from '../../engine/run-status.ts'
import type { RunRecord, RunSummaryRecord } from '../../stores/runs.ts'
import type { Metadata } from '../../stores/schema.ts'
import { type ToolCallView, textOf, toolCallsOf } from '../end/answer.ts'
import { runFailure } from '../end/run-failures.ts'

/** A run in lists. */
export interface RunSummaryView {
  runId: string
  status: PublicStatus
  conversationId?: string
  createdAt: string
  startedAt?: string
  finishedAt?: string
  cancelRequestedAt?: string
  metadata: Metadata
  error?: string
  errorCode?: string
  retryable?: boolean
  usage?: TurnUsage
}

/** The body of a poll (contract §4). */
export interface RunView extends RunSummaryView {
  queue?: { position: number; ahead: string[] }
  messageId?: string
  text?: string
  messages?: ModelMessage[]
  toolCalls?: ToolCallView[]
  truncated?: boolean
}

export function summaryView(run: RunSummaryRecord): RunSummaryView {
  const {
    runId,
    status,
    conversationId,
    createdAt,
    startedAt,
    finishedAt,
    cancelRequestedAt,
    metadata,
    usage,
  } = run
  return {
    runId,
    status,
    ...(conversationId === null ? {} : { conversationId }),
    createdAt: createdAt.toISOString(),
    ...(startedAt === null ? {} : { startedAt: startedAt.toISOString() }),
    ...(finishedAt === null ? {} : { finishedAt: finishedAt.toISOString() }),
    ...(cancelRequestedAt === null || status === 'completed'
      ? {}
      : { cancelRequestedAt: cancelRequestedAt.toISOString() }),
    metadata,
    ...(run.errorCode === null ? {} : failureView(run.errorCode, run.error)),
    ...(usage === null ? {} : { usage }),
  }
}

/** Derived from the row alone: a poll never asks the engine. */
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
        ...(run.truncated ? { truncated: true } : {}),
      }
  }
}

function failureView(errorCode: string, error: string | null) {
  const failure = runFailure(errorCode)
  return { error: error ?? failure.message, errorCode, retryable: failure.retryable }
}

/** The answer's message has one id: here, in the stream's `start` and in the conversation. */
function said({ output }: RunRecord) {
  return output === null ? { text: '' } : { messageId: output.id, text: textOf(output) }
}

async function answer(run: RunRecord) {
  const { message, output } = run
  const messages = [message, output].filter((one) => one !== null)
  return {
    ...said(run),
    messages: await convertToModelMessages(messages.map(bare), { ignoreIncompleteToolCalls: true }),
    toolCalls: output === null ? [] : toolCallsOf(output),
  }
}

const bare = ({ role, parts }: Omit<UIMessage, 'id'>) => ({ role, parts })
