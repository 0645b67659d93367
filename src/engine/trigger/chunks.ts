import { SSEStreamSubscription } from '@trigger.dev/core/v3'
import { AGENT_STREAM, type IndexedChunk } from '../../agent/turn.ts'
import { isGone } from '../engine-error.ts'
import type { ReadOptions } from '../run-engine.ts'
import { CALL_DEADLINE_MS, type EngineCalls } from './calls.ts'
import { untilAborted } from './iterators.ts'
import { isIndexedChunk } from './parsing.ts'
import { clientOf, type Scope } from './sdk.ts'
import { createValve } from './valve.ts'

/** Silence after which the backend ends a stream. The reader asks for the run to know whether that was its end. */
const SILENCE_SECONDS = 60

/** Reads the stream of a run from its start; see `RunEngine.chunks`. */
export async function* readChunks(
  calls: EngineCalls,
  scope: Scope,
  runId: string,
  signal: AbortSignal,
  { onOpen, purpose = 'read' }: ReadOptions,
): AsyncGenerator<IndexedChunk> {
  await calls.budget.take(purpose, { signal, patienceMs: CALL_DEADLINE_MS })
  const client = await clientOf(scope)
  const valve = createValve()
  // What `streams.read()` is made of. That one never says that nothing answers: it tries for ever, and goes on
  // after a break by the backend's ids.
  const subscription = new SSEStreamSubscription(
    `${client.baseUrl}/realtime/v1/streams/${runId}/${AGENT_STREAM}`,
    {
      headers: client.getHeaders('fetchStream'),
      signal,
      timeoutInSeconds: SILENCE_SECONDS,
      maxRetries: 0,
      fetchClient: async (...request) => {
        const response = await calls.watch(() => fetch(...request), signal, 'stream')
        if (!response.ok || response.body === null) return response
        onOpen?.()
        return new Response(response.body.pipeThrough(valve.body), response)
      },
    },
  )
  try {
    const stream = await subscription.subscribe()
    valve.open()
    for await (const { chunk } of untilAborted(stream, signal)) {
      valve.close()
      if (isIndexedChunk(chunk)) yield chunk
      valve.open()
    }
  } catch (error) {
    throw isGone(error) ? error : calls.problemOf('stream', error)
  } finally {
    valve.open()
  }
}
