import { AbortTaskRunError, logger, queue, streams, task } from '@trigger.dev/sdk'
import type { UIMessageChunk } from 'ai'
import { failureMessage } from '../agent/failure.ts'
import { runTurn, type TurnResult } from '../agent/run-turn.ts'
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

/** Milliseconds that the last chunks may take to leave once the turn is over. */
const DRAIN_MS = 15_000

/** The turns of one conversation (its id is the concurrency key) run one after the other, in order. */
export const agentQueue = queue({ name: AGENT_QUEUE, concurrencyLimit: 1 })

const agentStream = streams.define<IndexedChunk<UIMessageChunk>>({ id: AGENT_STREAM })

/**
 * Runs one turn. One attempt: a second one would run tools again and write the stream again. A failed turn throws
 * `failureMessage(code)`.
 */
export const agentChat = task({
  id: AGENT_TASK_ID,
  queue: agentQueue,
  retry: { maxAttempts: 1 },
  maxDuration: 300,
  run: async (turn: AgentTurn, { ctx, signal }): Promise<AgentOutput> => {
    if (turn.version > PAYLOAD_VERSION) throw new AbortTaskRunError(failureMessage('payload_too_new'))
    const result = await streamTurn(turn, ctx.run.id, signal)
    if (result.status === 'failed') throw new AbortTaskRunError(failureMessage(result.errorCode))
    if (result.status === 'cancelled') throw new AbortTaskRunError('The run was stopped.')
    return result.output
  },
})

async function streamTurn(turn: AgentTurn, runId: string, signal: AbortSignal): Promise<TurnResult> {
  const ahead = await readAhead(turn.ahead, aheadEngine, signal)
  const writer = createChunkWriter()
  // The signal goes to the agent alone: given to the pipe too, the last chunks of a stopped run would be lost.
  const piped = agentStream
    .pipe(writer.records)
    .waitUntilComplete()
    .catch((error) => error)
  try {
    return await runTurn(
      { ...turn, history: [...turn.history, ...ahead.messages] },
      {
        settings: readAgentSettings(process.env),
        signal,
        write: writer.write,
        metadata: {
          conversationId: turn.conversationId,
          runId,
          ...(ahead.incomplete ? { historyIncomplete: true } : {}),
        },
      },
    )
  } finally {
    writer.close()
    await drained(piped)
  }
}

/** A stream that cannot be written in time costs the live view, not the answer, which is the run's output. */
async function drained(piped: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<Error>()
  const timer = setTimeout(() => late.resolve(new Error('the stream took too long')), DRAIN_MS)
  const problem = await Promise.race([piped, late.promise])
  clearTimeout(timer)
  if (problem instanceof Error)
    logger.warn('The stream of the run is incomplete', { reason: problem.message })
}
