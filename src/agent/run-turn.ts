import { InvalidToolInputError, NoSuchToolError, type Telemetry, type UIMessageChunk } from 'ai'
import { cleanJson } from './clean.ts'
import { createChunkCleaner } from './clean-chunks.ts'
import { type Answer, converse } from './converse.ts'
import type { AgentDefinition } from './definition.ts'
import { FAILURES } from './failure.ts'
import { type AgentLog, describeFailure, textsIn } from './failure-log.ts'
import { WORDLESS } from './finish-reason.ts'
import { withinBounds } from './limits.ts'
import { fitOutput } from './output.ts'
import type { AgentSettings } from './settings.ts'
import type { AgentTurn, TurnMessage, TurnOutput } from './turn.ts'
import { createTurnWatch, type TurnWatch } from './turn-watch.ts'
import type { Failed, VerdictResult } from './verdict.ts'

export interface TurnSurroundings {
  /** Reads the agent's settings when the turn begins, so that a wrong setting fails the turn and the log names it. */
  settings: () => AgentSettings
  /** The id of the run. The toolbox makes the idempotency keys of tool calls from it. */
  runId: string
  /** Milliseconds that the run waited for this worker. */
  queuedMs?: number
  /** Stops the turn. */
  signal: AbortSignal
  /** Whether a turn is missing in the history because it could not be read. Then no summary passes over it. */
  incomplete?: boolean
  /** Takes one chunk after the other. The turn waits until the returned promise resolves. */
  write(chunk: UIMessageChunk): void | Promise<void>
  /** The metadata of the `start` chunk, which clients read. */
  metadata: Record<string, unknown>
  /** The worker's log for the operator, which says why a model or a tool failed. */
  log: AgentLog
  /** The run whose message steers this turn; undefined when there is none. Called between two steps. */
  steeredBy?: () => Promise<string | undefined>
  /** The AI SDK reports model steps and tool calls to this integration. */
  telemetry?: Telemetry | undefined
  agent: AgentDefinition
}

/** How a turn ended. The partial answer of a cancelled or failed turn is in its chunks. */
export type TurnResult =
  | { status: 'completed'; output: TurnOutput }
  | { status: 'cancelled' }
  | Omit<Failed, 'cause'>

/**
 * Runs one turn of the agent and writes AI SDK UI message chunks. The last chunk of every turn is `finish`, `abort`
 * (cancelled) or `error` (with a sentence for the user). Transient `data-usage` chunks carry the usage after each step
 * and before the last chunk, so that cancelled and failed turns have a usage too.
 */
export async function runTurn(turn: AgentTurn, context: TurnSurroundings): Promise<TurnResult> {
  const clean = createChunkCleaner()
  const write = async (chunk: UIMessageChunk) => {
    for (const piece of clean(chunk)) await context.write(piece)
  }
  const watch = createTurnWatch(context.signal, {
    queuedMs: context.queuedMs,
    maxSeconds: withinBounds(turn, context.agent).maxSeconds,
  })
  let answer: Answer = { parts: [], structured: false, pendingActions: [] }

  await write({ type: 'start', messageId: turn.assistantMessageId, messageMetadata: context.metadata })
  try {
    answer = await converse(turn, { ...context, write, watch, describeToolError })
  } catch (error) {
    watch.verdict.failed(error)
  } finally {
    await watch.dispose()
  }
  let message: TurnMessage = { id: turn.assistantMessageId, role: 'assistant', parts: answer.parts }
  const result = watch.reach()
  if (result.status !== 'completed') return breakOff(result, { turn, context, watch, write })
  if (!watch.verdict.hasText) message = await sayWhy(result, message, write)
  const { structured, window, pendingActions } = answer
  const facts = {
    finishReason: result.finishReason,
    ...watch.facts(),
    ...(pendingActions.length === 0 ? {} : { pendingActions }),
    ...(watch.steeredBy === undefined ? {} : { steeredBy: watch.steeredBy }),
  }
  await write({ type: 'finish', finishReason: result.modelReason, messageMetadata: facts })
  const output = {
    uiMessage: message,
    ...facts,
    ...(structured ? { structured } : {}),
    ...(window === undefined ? {} : { window }),
  }
  return { status: 'completed', output: fitOutput(cleanJson(output)) }
}

interface Ending {
  turn: AgentTurn
  context: TurnSurroundings
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
  const secret = [...textsIn([turn.message, turn.history, turn.summary, turn.context]), ...keysOf(context)]
  const line = describeFailure(failed.errorCode, cause, secret)
  if (retryable) context.log.warn(line, { errorCode: failed.errorCode })
  else context.log.error(line, { errorCode: failed.errorCode })
  await write({ type: 'error', errorText: message })
  return failed
}

function keysOf({ settings }: TurnSurroundings): string[] {
  try {
    return settings().models.flatMap(({ apiKey }) => apiKey ?? [])
  } catch {
    // With faulty settings no provider was called, so no log line can quote a key.
    return []
  }
}

/** Gives an answer that ended without a word a text that says why. */
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

/** The sentence about a failed tool call that a client may read. A `ToolError` carries such a sentence itself. */
function describeToolError(error: unknown): string {
  if (InvalidToolInputError.isInstance(error)) return 'The arguments do not fit the tool.'
  if (NoSuchToolError.isInstance(error)) return 'There is no such tool.'
  return error instanceof Error && error.name === 'ToolError' ? error.message : 'The tool failed.'
}
