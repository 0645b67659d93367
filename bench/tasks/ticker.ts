import { realtimeStreams } from '@trigger.dev/core/v3'
import { queue, task } from '@trigger.dev/sdk'
import { AGENT_QUEUE, AGENT_STREAM, AGENT_TASK_ID } from '../../src/agent/turn.ts'

const PACE_MS = Number(process.env.BENCH_PACE_MS ?? 50)
const SECONDS = 120

/** A task that replaces the agent. It writes the time into its stream twenty times a second, or writes nothing. */
export const ticker = task({
  id: AGENT_TASK_ID,
  queue: queue({ name: AGENT_QUEUE, concurrencyLimit: 1 }),
  run: async (turn: { assistantMessageId: string; message: { parts: Array<{ text?: string }> } }) => {
    const isQuiet = turn.message.parts[0]?.text === 'quiet'
    let index = 0
    const until = Date.now() + SECONDS * 1000
    const records = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, isQuiet ? SECONDS * 1000 : PACE_MS))
        if (Date.now() < until)
          return controller.enqueue({
            index: index++,
            chunk: { type: 'text-delta', id: 't', delta: `${Date.now()} and some more words` },
          })
        controller.enqueue({ index: index++, chunk: { type: 'finish', finishReason: 'stop' } })
        controller.close()
      },
    })
    await realtimeStreams.pipe(AGENT_STREAM, records).wait()
    const uiMessage = { id: turn.assistantMessageId, role: 'assistant', parts: [] }
    const usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 }
    return { uiMessage, usage, finishReason: 'stop', chunkCount: index }
  },
})
