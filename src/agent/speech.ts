import {
  type ModelMessage,
  type TextStreamPart,
  type ToolSet,
  toUIMessageStream,
  type UIMessageChunk,
} from 'ai'
import type { PendingActions } from './actions/pending.ts'
import type { createAgent } from './agent.ts'
import { createOpenParts, endParts } from './open-parts.ts'
import type { Toolbox } from './tools/toolbox.ts'
import type { TurnMessage } from './turn.ts'
import type { TurnWatch } from './turn-watch.ts'

export interface Speaker {
  agent: ReturnType<typeof createAgent>
  messageId: string
  watch: TurnWatch
  toolbox: Pick<Toolbox, 'isDone'>
  pending: PendingActions
  write(chunk: UIMessageChunk): Promise<void>
  describeToolError(error: unknown): string
}

/** What the agent has said in one loop of steps. */
export interface Speech {
  parts: TurnMessage['parts']
  /** The messages of the whole steps, as the next prompt takes them. */
  messages: ModelMessage[]
}

/** Lets the agent answer a prompt and writes the chunks of the answer. The watch observes how the answer ends. */
export async function speak(messages: ModelMessage[], speaker: Speaker): Promise<Speech> {
  const { agent, watch, write, toolbox, pending } = speaker
  const speech: Speech = { parts: [], messages: [] }
  const open = createOpenParts()
  try {
    watch.meter.begin(messages)
    const { stream } = await agent.stream({
      messages,
      abortSignal: watch.signal,
      onStepEnd: ({ response }) => void speech.messages.push(...response.messages),
    })
    for await (const chunk of chunksOf(stream, speaker, speech)) {
      // A `custom` chunk is meant for the provider alone, and clients before AI SDK 7 fail on it.
      if (chunk.type === 'abort' || chunk.type === 'error' || chunk.type === 'custom') continue
      if (chunk.type === 'tool-output-available' && chunk.preliminary && toolbox.isDone(chunk.toolCallId))
        continue
      open.observe(chunk)
      await write(chunk)
      if (chunk.type === 'finish-step')
        await write({ type: 'data-usage', data: watch.usage(), transient: true })
    }
  } catch (error) {
    watch.verdict.failed(error)
  }
  if (pending.all.length > 0) watch.stopped('action_required')
  if (!watch.verdict.isCut) return speech
  for (const chunk of open.ends()) await write(chunk)
  return { ...speech, parts: endParts(speech.parts) }
}

function chunksOf(stream: ReadableStream<TextStreamPart<ToolSet>>, speaker: Speaker, speech: Speech) {
  const { agent, messageId, watch, pending, describeToolError } = speaker
  const observe = new TransformStream<TextStreamPart<ToolSet>, TextStreamPart<ToolSet>>({
    transform(part, controller) {
      watch.observe(part)
      controller.enqueue(pending.observe(part))
    },
  })
  return toUIMessageStream({
    stream: stream.pipeThrough(observe),
    tools: agent.tools,
    generateMessageId: () => messageId,
    sendStart: false,
    sendFinish: false,
    onError: describeToolError,
    onEnd: ({ responseMessage: { parts } }) => {
      speech.parts = parts.filter(({ type }) => type !== 'custom')
    },
  })
}
