import { realtimeStreams } from '@trigger.dev/core/v3'
import { AbortTaskRunError, logger, queue, task } from '@trigger.dev/sdk'
import type { Telemetry } from 'ai'
import { failureMessage } from '../agent/failure.ts'
import { runTurn, type TurnResult } from '../agent/run-turn.ts'
import { readAgentSettings } from '../agent/settings.ts'
import {
  AGENT_QUEUE,
  AGENT_STREAM,
  AGENT_TASK_ID,
  type AgentOutput,
  type AgentTurn,
  PAYLOAD_VERSION,
} from '../agent/turn.ts'
import { workerTracing } from '../telemetry/worker-tracing.ts'
import { aheadEngine } from './ahead-engine.ts'
import { createChunkWriter } from './chunk-writer.ts'
import { settled } from './deadline.ts'
import { readAhead, withAhead } from './history-ahead.ts'

/** Milliseconds that the last chunks may take to leave once the turn is over, and once the run is cancelled. */
const DRAIN_MS = 15_000
const WIND_UP_MS = 3000

const tracing = workerTracing(process.env)

/** The turns of one conversation (its id is the concurrency key) run one after the other, in order. */
export const agentQueue = queue({ name: AGENT_QUEUE, concurrencyLimit: 1 })

/**
 * Runs one turn. One attempt: a second one would run tools again and write the stream again. A failed turn throws
 * `failureMessage(code)`.
 */
export const agentChat = task({
  id: AGENT_TASK_ID,
  queue: agentQueue,
  retry: { maxAttempts: 1 },
  maxDuration: 300,
  // The process of a cancelled run is ended after this hook: the last chunks get the time to leave it.
  onCancel: async ({ runPromise }: { runPromise: Promise<unknown> }) => {
    await settled(runPromise, WIND_UP_MS)
  },
  run: async (turn: AgentTurn, { ctx, signal }): Promise<AgentOutput> => {
    if (turn.version > PAYLOAD_VERSION) throw new AbortTaskRunError(failureMessage('payload_too_new'))
    const tracer = await tracing()
    const work = (telemetry?: Telemetry) => streamTurn(turn, ctx.run.id, signal, telemetry)
    const { result, chunkCount } = await (tracer === undefined
      ? work()
      : tracer.run({ ...turn, runId: ctx.run.id }, work, ({ result }) =>
          result.status === 'failed' ? result.errorCode : undefined,
        ))
    // No abort: an engine does not use a process again after an error that was not meant.
    if (result.status === 'failed' && result.errorCode === 'internal')
      throw new Error(failureMessage('internal'))
    if (result.status === 'failed') throw new AbortTaskRunError(failureMessage(result.errorCode))
    if (result.status === 'cancelled') throw new AbortTaskRunError('The run was stopped.')
    return { ...result.output, chunkCount }
  },
})

async function streamTurn(
  turn: AgentTurn,
  runId: string,
  signal: AbortSignal,
  telemetry: Telemetry | undefined,
): Promise<{ result: TurnResult; chunkCount: number }> {
  const ahead = await readAhead(turn.ahead, aheadEngine, signal)
  const writer = createChunkWriter()
  // Not `streams.pipe()`: when the stream cannot be written, SDK 4.8.3 leaves a rejection unhandled, which fails the
  // run. The signal goes to the agent alone: given to the pipe too, a stopped run would lose its last chunks.
  const piped = realtimeStreams.pipe(AGENT_STREAM, writer.records).wait()
  // Judged at the end; until then a break must not count as unhandled.
  piped.catch(() => {})
  let result: TurnResult
  try {
    result = await runTurn(
      { ...turn, history: withAhead(turn.history, ahead.turns, turn.aheadAfter) },
      {
        settings: readAgentSettings(process.env),
        signal,
        telemetry,
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
    const problem = await settled(piped, DRAIN_MS)
    // It costs the live view, not the answer, which is the run's output.
    if (problem) logger.warn('The stream of the run is incomplete', { reason: problem.message })
  }
  return { result, chunkCount: writer.count }
}
