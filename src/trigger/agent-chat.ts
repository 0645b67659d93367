import { AbortTaskRunError, queue, streams, task } from '@trigger.dev/sdk'
import type { UIMessageChunk } from 'ai'
import { failureMessage } from '../agent/failure.ts'
import { runTurn } from '../agent/run-turn.ts'
import { readAgentSettings } from '../agent/settings.ts'
import {
  AGENT_QUEUE,
  AGENT_STREAM,
  AGENT_TASK_ID,
  type AgentOutput,
  type AgentTurn,
  type IndexedChunk,
  PAYLOAD_VERSION,
} from '../agent/turn.ts'
import { aheadEngine } from './ahead-engine.ts'
import { createChunkWriter } from './chunk-writer.ts'
import { readAhead } from './history-ahead.ts'

/** The turns of one conversation (its id is the concurrency key) run one after the other, in order. */
export const agentQueue = queue({ name: AGENT_QUEUE, concurrencyLimit: 1 })

export const agentStream = streams.define<IndexedChunk<UIMessageChunk>>({ id: AGENT_STREAM })

/**
 * Runs one turn. One attempt: a second one would run tools again, and write to the same stream again. Throws
 * `failureMessage(code)` when the turn failed.
 */
export const agentChat = task({
  id: AGENT_TASK_ID,
  queue: agentQueue,
  retry: { maxAttempts: 1 },
  maxDuration: 300,
  run: async (turn: AgentTurn, { ctx, signal }): Promise<AgentOutput> => {
    if (turn.version > PAYLOAD_VERSION) throw new AbortTaskRunError(failureMessage('payload_too_new'))

    const ahead = await readAhead(turn.ahead, aheadEngine, signal)
    const writer = createChunkWriter()
    // The signal goes to the agent alone: given to the pipe too, the last chunks of a cancelled run would be lost.
    const piped = agentStream.pipe(writer.records)
    const result = await runTurn(
      { ...turn, history: [...turn.history, ...ahead.messages] },
      {
        settings: readAgentSettings(process.env),
        signal,
        write: writer.write,
        metadata: {
          conversationId: turn.conversationId,
          runId: ctx.run.id,
          ...(ahead.incomplete ? { historyIncomplete: true } : {}),
        },
      },
    )
    writer.close()
    await piped.waitUntilComplete()

    if (result.status === 'failed') throw new AbortTaskRunError(failureMessage(result.errorCode))
    if (result.status === 'cancelled') throw new AbortTaskRunError('cancelled')
    return result.output
  },
})
