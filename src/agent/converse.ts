import { type Telemetry, type TextStreamPart, type ToolSet, toUIMessageStream, type UIMessageChunk } from 'ai'
import { createAgent } from './agent.ts'
import { classify } from './classify.ts'
import type { AgentDefinition } from './definition.ts'
import { type AgentLog, describeFailure, textsIn } from './failure-log.ts'
import { toModelMessages, windowHistory } from './history.ts'
import { selectModel } from './models/select.ts'
import type { AgentSettings } from './settings.ts'
import { createToolbox } from './tools/toolbox.ts'
import type { AgentTurn, TurnMessage } from './turn.ts'
import type { TurnWatch } from './turn-watch.ts'

interface Conversation {
  settings: () => AgentSettings
  agent: AgentDefinition
  runId: string
  signal: AbortSignal
  log: AgentLog
  telemetry?: Telemetry | undefined
  watch: TurnWatch
  write(chunk: UIMessageChunk): Promise<void>
  describeToolError(error: unknown): string
}

/** Lets the agent answer; what its stream says about its end goes to the watch instead of the reader. */
export async function converse(turn: AgentTurn, conversation: Conversation): Promise<TurnMessage> {
  const { watch, write, signal, describeToolError } = conversation
  let message: TurnMessage = { id: turn.assistantMessageId, role: 'assistant', parts: [] }
  const messages = await toModelMessages([...windowHistory(turn.history), turn.message])
  watch.meter.begin(messages)
  const { agent, isDone } = await prepare(turn, conversation)
  const { stream } = await agent.stream({ messages, abortSignal: signal })
  const observe = new TransformStream<TextStreamPart<ToolSet>, TextStreamPart<ToolSet>>({
    transform(part, controller) {
      watch.observe(part)
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
      message = { id, role, parts: parts.filter(({ type }) => type !== 'custom') }
    },
  })
  for await (const chunk of chunks) {
    // A `custom` chunk is a note of the provider for itself, and clients before AI SDK 7 fail on it.
    if (chunk.type === 'abort' || chunk.type === 'error' || chunk.type === 'custom') continue
    if (chunk.type === 'tool-output-available' && chunk.preliminary && isDone(chunk.toolCallId)) continue
    await write(chunk)
    if (chunk.type === 'finish-step')
      await write({ type: 'data-usage', data: watch.usage(), transient: true })
  }
  return message
}

/** The agent of this turn: its model, its instructions and its tools. */
async function prepare(turn: AgentTurn, { agent, watch, log, runId, telemetry, ...others }: Conversation) {
  const settings = others.settings()
  const { caller, context = {} } = turn
  const model = await selectModel(settings, {
    onAsk: watch.asked,
    onFailure: (failed, next, error) => {
      const secret = textsIn([turn.message, turn.history, context])
      const why = describeFailure(classify(error), error, secret)
      log.warn(`The model ${failed} could not answer, ${next} is asked instead. ${why}`)
    },
  })
  const { timeouts, toolOutputMax: outputMax } = settings
  const toolbox = createToolbox(agent.tools(settings), {
    ...{ runId, caller, context, outputMax, log },
    timeoutMs: timeouts.toolMs,
  })
  const conversation = { id: turn.conversationId, history: turn.history }
  const instructions =
    typeof agent.instructions === 'string'
      ? agent.instructions
      : await agent.instructions({ caller, context, now: new Date(), conversation })
  const parts = { model, instructions, tools: toolbox.tools, telemetry, onToolLoop: watch.sawToolLoop }
  return { agent: createAgent(settings, parts), isDone: toolbox.isDone }
}
