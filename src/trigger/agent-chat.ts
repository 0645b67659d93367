import { realtimeStreams, type TaskRunContext } from '@trigger.dev/core/v3'
import { AbortTaskRunError, logger, queue, task } from '@trigger.dev/sdk'
import type { Telemetry } from 'ai'
import type { AgentDefinition } from '../agent/definition.ts'
import { type FailedOutput, failureMessage, failureOfOutput } from '../agent/failure.ts'
import { runTurn, type TurnResult } from '../agent/run-turn.ts'
import { readAgentSettings } from '../agent/settings.ts'
import {
  AGENT_QUEUE,
  AGENT_STREAM,
  AGENT_TASK_ID,
  type AgentOutput,
  type AgentTurn,
  DEFAULT_AGENT,
  PAYLOAD_VERSION,
} from '../agent/turn.ts'
import { agents } from '../agents/index.ts'
import { workerTracing } from '../telemetry/worker-tracing.ts'
import { aheadEngine } from './ahead-engine.ts'
import { createChunkWriter } from './chunk-writer.ts'
import { settled } from './deadline.ts'
import { readAhead, withAhead } from './history-ahead.ts'
import { steeredBy } from './steering.ts'
import { withWindow } from './window-ahead.ts'

/** Milliseconds in which the last chunks must be written after the end of the turn, and after a cancel of the run. */
const DRAIN_MS = 15_000
const WIND_UP_MS = 3000

const tracing = workerTracing(process.env)

// A worker waits for its runs with the code of all agents. A definition that cannot be loaded fails the runs of its agent.
await Promise.allSettled(Object.values(agents).map(({ load }) => load()))

/** The turns of one conversation (its id is the concurrency key) run one after the other, in order. */
export const agentQueue = queue({ name: AGENT_QUEUE, concurrencyLimit: 1 })

/**
 * Runs one turn. One attempt: a second one would run tools again and write the stream again. A failed turn throws
 * `failureMessage(code)`. A start with a key and without the database is held single by the engine's key alone, so its
 * failed turn is returned: Trigger.dev forgets the key of a run that fails.
 */
export const agentChat = task({
  id: AGENT_TASK_ID,
  queue: agentQueue,
  retry: { maxAttempts: 1 },
  maxDuration: 300,
  // The engine ends the process of a cancelled run after this hook, so the hook waits until the last chunks are written.
  onCancel: async ({ runPromise }: { runPromise: Promise<unknown> }) => {
    await settled(runPromise, WIND_UP_MS)
  },
  run: async (turn: AgentTurn, context): Promise<AgentOutput | FailedOutput> => {
    try {
      return await execute(turn, context)
    } catch (error) {
      const needsKey = typeof turn.origin?.idempotencyKey === 'string'
      if (!needsKey || !(error instanceof AbortTaskRunError)) throw error
      const output: FailedOutput = { failure: error.message }
      if (failureOfOutput(output) === undefined) throw error
      return output
    }
  },
})

async function execute(
  turn: AgentTurn,
  { ctx, signal }: { ctx: TaskRunContext; signal: AbortSignal },
): Promise<AgentOutput> {
  if (turn.version > PAYLOAD_VERSION) throw new AbortTaskRunError(failureMessage('payload_too_new'))
  const agent = await agentOf(turn)
  const tracer = await tracing()
  const run = { id: ctx.run.id, queuedMs: Math.max(0, Date.now() - ctx.run.createdAt.getTime()) }
  const work = (telemetry?: Telemetry) => streamTurn(turn, { ...run, agent }, signal, telemetry)
  const { result, chunkCount } = await (tracer === undefined
    ? work()
    : tracer.run({ ...turn, runId: ctx.run.id }, work, ({ result }) =>
        result.status === 'failed' ? result.errorCode : undefined,
      ))
  // A plain error, and no AbortTaskRunError: after it the engine does not use this process again.
  if (result.status === 'failed' && result.errorCode === 'internal')
    throw new Error(failureMessage('internal'))
  if (result.status === 'failed')
    throw new AbortTaskRunError(failureMessage(result.errorCode, result.retryAfter))
  if (result.status === 'cancelled') throw new AbortTaskRunError('The run was stopped.')
  return { ...result.output, chunkCount }
}

async function agentOf({ agent: name = DEFAULT_AGENT }: AgentTurn): Promise<AgentDefinition> {
  const registered = Object.hasOwn(agents, name) ? agents[name] : undefined
  if (registered === undefined) throw new AbortTaskRunError(failureMessage('agent_not_deployed'))
  return registered.load()
}

async function streamTurn(
  turn: AgentTurn,
  { id: runId, queuedMs, agent }: { id: string; queuedMs: number; agent: AgentDefinition },
  signal: AbortSignal,
  telemetry: Telemetry | undefined,
): Promise<{ result: TurnResult; chunkCount: number }> {
  const ahead = await readAhead(turn.ahead, aheadEngine, signal)
  const writer = createChunkWriter()
  // Not `streams.pipe()`: when the stream cannot be written, SDK 4.8.3 leaves a rejection unhandled, which fails the
  // run. The signal goes to the agent alone: given to the pipe too, a stopped run would lose its last chunks.
  const piped = realtimeStreams.pipe(AGENT_STREAM, writer.records).wait()
  // The result is judged at the end of the turn. Until then its rejection must not count as unhandled.
  piped.catch(() => {})
  let result: TurnResult
  try {
    result = await runTurn(
      withWindow({ ...turn, history: withAhead(turn.history, ahead.turns, turn.aheadAfter) }, ahead.window),
      {
        agent,
        settings: () => readAgentSettings(process.env, agent.models),
        runId,
        queuedMs,
        log: logger,
        signal,
        incomplete: ahead.incomplete,
        steeredBy,
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
    // Viewers lose the live stream. The answer is not lost: it is the run's output.
    if (problem) logger.warn('The stream of the run is incomplete', { reason: problem.message })
  }
  return { result, chunkCount: writer.count }
}
