import { runs, streams } from '@trigger.dev/sdk'
import { AGENT_STREAM } from '../agent/turn.ts'
import type { AheadEngine } from './history-ahead.ts'

/** Reads runs and streams with the worker's own access to Trigger.dev. */
export const aheadEngine: AheadEngine = {
  retrieve: async (runId) => {
    const { status, payload, output } = await runs.retrieve(runId, {
      retry: { maxAttempts: 2, minTimeoutInMs: 200 },
    })
    return { status, payload, output }
  },
  async *chunks(runId, signal) {
    yield* await streams.read(runId, AGENT_STREAM, { timeoutInSeconds: 1, signal })
  },
}
