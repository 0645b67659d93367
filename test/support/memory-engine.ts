import { once } from 'node:events'
import type { AgentTurn } from '../../src/agent/turn.ts'
import { DispatchError } from '../../src/engine/engine-error.ts'
import type { RunEngine, RunSnapshot } from '../../src/engine/run-engine.ts'

export interface MemoryEngine {
  /** The payload of a run. */
  payloadOf(runId: string): AgentTurn | undefined
  /**
   * Decides about the next start. `accept` makes its run, `refuse` refuses it. With `lose` and `drop` the caller gets no
   * answer: `lose` makes a run, `drop` makes none.
   */
  fate: () => 'accept' | 'refuse' | 'lose' | 'drop'
}

/** The text of the answer of a run. */
export const answerOf = (runId: string): string => `A:${runId}`

/**
 * Replaces the engine of a service by one without workers. A run is completed as soon as it is started. The run of a
 * message with the word "hold" goes on until it is cancelled.
 */
export function useMemoryEngine(engine: RunEngine): MemoryEngine {
  const runs = new Map<string, RunSnapshot & { payload: AgentTurn }>()
  const keys = new Map<string, string>()
  const memory: MemoryEngine = { payloadOf: (runId) => runs.get(runId)?.payload, fate: () => 'accept' }

  function make(payload: AgentTurn, engineKey: string, tags: string[]): string {
    const known = keys.get(engineKey)
    if (known !== undefined) return known
    const runId = `run_memory${crypto.randomUUID()}`
    const holds = JSON.stringify(payload.message.parts).includes('hold')
    const at = new Date()
    keys.set(engineKey, runId)
    const run = { runId, payload, tags, createdAt: at, startedAt: at }
    if (holds) runs.set(runId, { ...run, status: 'running' })
    else
      runs.set(runId, {
        ...run,
        status: 'completed',
        finishedAt: at,
        output: {
          uiMessage: {
            id: payload.assistantMessageId,
            role: 'assistant',
            parts: [{ type: 'text', text: answerOf(runId) }],
          },
          usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
          finishReason: 'stop',
          chunkCount: 0,
        },
      })
    return runId
  }

  Object.assign(engine, {
    listLagMs: 0,
    ping: async () => {},
    async start(payload, { engineKey, tags }) {
      const fate = memory.fate()
      if (fate === 'accept') return make(payload, engineKey, tags)
      if (fate === 'lose') make(payload, engineKey, tags)
      throw new DispatchError('engine_unavailable', fate === 'refuse' ? 'refused' : 'unknown')
    },
    async *list({ tag }) {
      for (const run of runs.values()) if (run.tags.includes(tag)) yield run
    },
    get: async (runId) => runs.get(runId),
    async cancel(runId) {
      const run = runs.get(runId)
      if (run?.status === 'running') runs.set(runId, { ...run, status: 'cancelled', finishedAt: new Date() })
    },
    async steer() {},
    async *chunks() {},
    // biome-ignore lint/correctness/useYield: this engine reports no changes
    async *changes(_tag, signal) {
      if (!signal.aborted) await once(signal, 'abort')
    },
  } satisfies RunEngine)
  return memory
}
