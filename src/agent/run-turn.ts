import { InvalidToolInputError, NoSuchToolError, type Telemetry, type UIMessageChunk } from 'ai'
import { cleanJson } from './clean.ts'
import { createChunkCleaner } from './clean-chunks.ts'
import { converse } from './converse.ts'
import { type AgentDefinition, agentDefinition } from './definition.ts'
import { FAILURES } from './failure.ts'
import { type AgentLog, describeFailure, textsIn } from './failure-log.ts'
import { WORDLESS } from './finish-reason.ts'
import { fitOutput } from './output.ts'
import type { AgentSettings } from './settings.ts'
import type { AgentTurn, TurnMessage, TurnOutput } from './turn.ts'
import { createTurnWatch, type TurnWatch } from './turn-watch.ts'
import type { Failed, VerdictResult } from './verdict.ts'

export interface TurnContext {
  /** Read when the turn begins, so that a wrong setting fails the turn with its name in the log. */
  settings: () => AgentSettings
  /** The id of the run, which tools build their idempotency keys of. */
  runId: string
  /** Stops the turn. */
  signal: AbortSignal
  /** Takes the chunks in order; the turn goes on when it resolves. */
  write(chunk: UIMessageChunk): void | Promise<void>
  /** Goes to the clients in the `start` chunk. */
  metadata: Record<string, unknown>
  /** The operator's log: why a model or a tool failed. */
  log: AgentLog
  /** Is told of model steps and tools. */
  telemetry?: Telemetry | undefined
  /** The agent; that of `src/agent` when absent. */
  agent?: AgentDefinition
}

/** How a turn ended. What a stopped or failed one had said until then is in its chunks. */
export type TurnResult =
  | { status: 'completed'; output: TurnOutput }
  | { status: 'cancelled' }
  | Omit<Failed, 'cause'>

/**
 * Runs one turn of the agent and writes AI SDK UI message chunks. The stream is sealed: whatever happens, its last
 * chunk is `finish`, `abort` (stopped) or `error` (with a sentence for the user). Usage travels in transient
 * `data-usage` chunks after each step and before the last chunk, so that stopped and failed turns have one too.
 */
export async function runTurn(turn: AgentTurn, context: TurnContext): Promise<TurnResult> {
  const clean = createChunkCleaner()
  const write = async (chunk: UIMessageChunk) => {
    for (const piece of clean(chunk)) await context.write(piece)
  }
  const watch = createTurnWatch(context.signal)
  let message: TurnMessage = { id: turn.assistantMessageId, role: 'assistant', parts: [] }

  await write({ type: 'start', messageId: turn.assistantMessageId, messageMetadata: context.metadata })
  try {
    const agent = context.agent ?? agentDefinition
    message = await converse(turn, { ...context, agent, write, watch, describeToolError })
  } catch (error) {
    watch.verdict.failed(error)
  }
  const result = watch.reach()
  if (result.status !== 'completed') return breakOff(result, { turn, context, watch, write })
  if (!watch.verdict.hasText) message = await sayWhy(result, message, write)
  const facts = { finishReason: result.finishReason, ...watch.facts() }
  await write({ type: 'finish', finishReason: result.modelReason, messageMetadata: facts })
  return { status: 'completed', output: fitOutput(cleanJson({ uiMessage: message, ...facts })) }
}

interface Ending {
  turn: AgentTurn
  context: TurnContext
  watch: TurnWatch
  write(chunk: UIMessageChunk): Promise<void>
}

async function breakOff(
  result: Exclude<VerdictResult, { status: 'completed' }>,
  { turn, context, watch, write }: Ending,
): Promise<TurnResult> {
  await write({ type: 'data-usage', data: watch.usage(), transient: true })
  if (result.status === 'cancelled') {
    await write({ type: 'abort', reason: 'cancelled' })
    return result
  }
  const { cause, ...failed } = result
  const { message, retryable } = FAILURES[failed.errorCode]
  const secret = [...textsIn([turn.message, turn.history, turn.context]), ...keysOf(context)]
  const line = describeFailure(failed.errorCode, cause, secret)
  if (retryable) context.log.warn(line, { errorCode: failed.errorCode })
  else context.log.error(line, { errorCode: failed.errorCode })
  await write({ type: 'error', errorText: message })
  return failed
}

function keysOf({ settings }: TurnContext): string[] {
  try {
    return settings().models.flatMap(({ apiKey }) => apiKey ?? [])
  } catch {
    // Settings with a fault have called no provider.
    return []
  }
}

/** An answer that ended without a word says why, as its text. */
async function sayWhy(
  { finishReason }: { finishReason: TurnOutput['finishReason'] },
  message: TurnMessage,
  write: (chunk: UIMessageChunk) => Promise<void>,
): Promise<TurnMessage> {
  const text = WORDLESS[finishReason as keyof typeof WORDLESS]
  if (text === undefined) return message
  const id = 'why'
  await write({ type: 'text-start', id })
  await write({ type: 'text-delta', id, delta: text })
  await write({ type: 'text-end', id })
  return { ...message, parts: [...message.parts, { type: 'text', text, state: 'done' }] }
}

/** What a client may read about a tool call that failed. The errors of tools themselves are made for it. */
function describeToolError(error: unknown): string {
  if (InvalidToolInputError.isInstance(error)) return 'The arguments do not fit the tool.'
  if (NoSuchToolError.isInstance(error)) return 'There is no such tool.'
  return error instanceof Error && error.name === 'ToolError' ? error.message : 'The tool failed.'
}
