import type { RunEngine } from '../engine/run-engine.ts'
import { Problem } from '../errors.ts'
import type { Stores } from '../services/context.ts'
import type { StartedRun } from '../services/start/turns.ts'
import type { RunEnd } from '../stores/run-ends.ts'
import type { Streams } from '../streams/streams.ts'
import type { Poster } from '../webhooks/post.ts'
import type { Metrics } from './metrics.ts'

/** Counts the runs whose end this instance has stored. */
export function meteredStores(stores: Stores, metrics: Metrics): Stores {
  return {
    ...stores,
    ends: {
      ...stores.ends,
      async finalize(end) {
        const stored = await stores.ends.finalize(end)
        if (stored?.done) metrics.runFinished({ ...end, ...durations(end), agent: stored.agent })
        return stored
      },
    },
    deliveries: {
      ...stores.deliveries,
      async finish(delivery, result) {
        await stores.deliveries.finish(delivery, result)
        metrics.webhookAttempted(receiverOf(delivery), OUTCOMES[result.status])
      },
    },
  }
}

const OUTCOMES = { delivered: 'delivered', pending: 'retried', failed: 'given_up' } as const
/** Callers choose the addresses in starts, so all these addresses count as one receiver. */
const receiverOf = ({ target, url }: { target: string; url: string | null }) =>
  url === null ? target : 'start'

/** Measures how long attempts to deliver webhooks take. */
export function meteredPoster(post: Poster, metrics: Metrics): Poster {
  return async (one) => {
    const since = performance.now()
    const result = await post(one)
    metrics.webhookSent(one.receiver, (performance.now() - since) / 1000)
    return result
  }
}

/** Watches the chunks that this instance reads for viewers, and reports the first text of every run. */
export function meteredEngine(engine: RunEngine, metrics: Metrics): RunEngine {
  return {
    ...engine,
    async *chunks(runId, signal, options) {
      for await (const record of engine.chunks(runId, signal, options)) {
        if (record.chunk.type === 'text-delta') metrics.sawText(runId)
        yield record
      }
    },
  }
}

/** Measures the time to the first text of runs that a viewer reads from their beginning. */
export function meteredStreams(streams: Streams, metrics: Metrics): Streams {
  return {
    ...streams,
    async view(runId, options, signal) {
      if (!options.fresh) return streams.view(runId, options, signal)
      metrics.awaitFirstText(runId)
      const viewer = await streams.view(runId, options, signal)
      return viewer.once('close', () => metrics.forgetFirstText(runId))
    },
  }
}

/** Counts starts by their outcome, refusals included. */
export function meteredStart<Asked extends unknown[]>(
  start: (...asked: Asked) => Promise<StartedRun>,
  metrics: Metrics,
): (...asked: Asked) => Promise<StartedRun> {
  return async (...asked) => {
    const since = performance.now()
    try {
      const run = await start(...asked)
      metrics.turnStarted(
        run.replayed ? 'replayed' : run.conversationId === undefined ? 'unstored' : 'stored',
      )
      if (!run.replayed) metrics.turnBegan(run.runId, since)
      return run
    } catch (error) {
      metrics.turnStarted(error instanceof Problem ? error.code : 'internal')
      throw error
    }
  }
}

function durations({ createdAt, startedAt, finishedAt }: RunEnd) {
  const seconds = (from: Date | null, to: Date | null) =>
    from === null || to === null ? undefined : (to.getTime() - from.getTime()) / 1000
  return { queueSeconds: seconds(createdAt, startedAt), runSeconds: seconds(startedAt, finishedAt) }
}
