import type { RunEngine } from '../engine/run-engine.ts'
import { Problem } from '../errors.ts'
import type { Stores } from '../services/context.ts'
import type { StartedRun } from '../services/start/turns.ts'
import type { RunEnd } from '../stores/run-ends.ts'
import type { Streams } from '../streams/streams.ts'
import type { Metrics } from './metrics.ts'

/** Counts the runs that end here: of several instances, the one that wrote the end. */
export function meteredStores(stores: Stores, metrics: Metrics): Stores {
  return {
    ...stores,
    ends: {
      ...stores.ends,
      async finalize(end) {
        const done = await stores.ends.finalize(end)
        if (done) metrics.runFinished({ ...end, ...durations(end) })
        return done
      },
    },
  }
}

/** Notes the texts of every run that is streamed. */
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

/** Waits for the first text of runs that are streamed from their start. */
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

/** Counts starts by what became of them, refusals included. */
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
