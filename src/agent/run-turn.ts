import { type Telemetry, type TextStreamPart, type ToolSet, toUIMessageStream, type UIMessageChunk } from 'ai'
import { createAgent } from './agent.ts'
import { cleanJson } from './clean.ts'
import { createChunkCleaner } from './clean-chunks.ts'
import { FAILURES, type FailureCode } from './failure.ts'
import { toModelMessages, windowHistory } from './history.ts'
import { modelName } from './model.ts'
import { fitOutput } from './output.ts'
import type { AgentSettings } from './settings.ts'
import { ToolError } from './tools/tool-error.ts'
import type { AgentTurn, TurnMessage, TurnOutput } from './turn.ts'
import { createUsageMeter, type UsageMeter } from './usage.ts'
import { createVerdict, type Verdict, type VerdictResult } from './verdict.ts'

export interface TurnContext {
  settings: AgentSettings
  /** Stops the turn. */
  signal: AbortSignal
  /** Takes the chunks in order; the turn goes on when it resolves. */
  write(chunk: UIMessageChunk): void | Promise<void>
  /** Goes to the clients in the `start` chunk. */
  metadata: Record<string, unknown>
  /** Is told of model steps and tools. */
  telemetry?: Telemetry | undefined
}

/** How a turn ended. What a stopped or failed one had said until then is in its chunks. */
export type TurnResult =
  | { status: 'completed'; output: TurnOutput }
  | { status: 'cancelled' }
  | { status: 'failed'; errorCode: FailureCode }

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
  const verdict = createVerdict(context.signal)
  const usage = createUsageMeter(modelName(context.settings))
  let message = emptyAnswer(turn)

  await write({ type: 'start', messageId: turn.assistantMessageId, messageMetadata: context.metadata })
  try {
    message = await converse(turn, context, { write, verdict, usage })
  } catch (error) {
    verdict.failed(error)
  }
  const result = verdict.reach()
  if (result.status !== 'completed') {
    await write({ type: 'data-usage', data: usage.total(), transient: true })
    await write(lastChunk(result))
    return result
  }
  await write(lastChunk(result))
  const output = { uiMessage: message, usage: usage.total(), finishReason: result.finishReason }
  return { status: 'completed', output: fitOutput(cleanJson(output)) }
}

function emptyAnswer(turn: AgentTurn): TurnMessage {
  return { id: turn.assistantMessageId, role: 'assistant', parts: [] }
}

interface Observers {
  write(chunk: UIMessageChunk): Promise<void>
  verdict: Verdict
  usage: UsageMeter
}

/** Lets the agent answer; what its stream says about its end goes to the verdict instead of the reader. */
async function converse(
  turn: AgentTurn,
  context: TurnContext,
  { write, verdict, usage }: Observers,
): Promise<TurnMessage> {
  let message = emptyAnswer(turn)
  const messages = await toModelMessages([...windowHistory(turn.history), turn.message])
  usage.begin(messages)
  const agent = createAgent(context.settings, context.telemetry)
  const { stream } = await agent.stream({ messages, abortSignal: context.signal })
  const observe = new TransformStream<TextStreamPart<ToolSet>, TextStreamPart<ToolSet>>({
    transform(part, controller) {
      usage.observe(part)
      verdict.observe(part)
      controller.enqueue(part)
    },
  })
  const chunks = toUIMessageStream({
    stream: stream.pipeThrough(observe),
    tools: agent.tools,
    generateMessageId: () => turn.assistantMessageId,
    sendStart: false,
    sendFinish: false,
    onError: describeToolError,
    onEnd: ({ responseMessage: { id, role, parts } }) => {
      message = { id, role, parts }
    },
  })
  for await (const chunk of chunks) {
    if (chunk.type === 'abort' || chunk.type === 'error') continue
    await write(chunk)
    if (chunk.type === 'finish-step')
      await write({ type: 'data-usage', data: usage.total(), transient: true })
  }
  return message
}

/** What a client may read about a tool that failed; the model reads the error itself. */
function describeToolError(error: unknown): string {
  return error instanceof ToolError ? error.message : 'The tool failed.'
}

function lastChunk(result: VerdictResult): UIMessageChunk {
  if (result.status === 'completed') return { type: 'finish', finishReason: result.finishReason }
  if (result.status === 'cancelled') return { type: 'abort', reason: 'cancelled' }
  return { type: 'error', errorText: FAILURES[result.errorCode].message }
}
