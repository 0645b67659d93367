import type { RunEngine } from '../engine/run-engine.ts'
import { Problem } from '../errors.ts'
import type { Stores } from '../services/context.ts'
import type { TurnService } from '../services/start/turns.ts'
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

/** Counts starts by what became of them. */
export function meteredTurns(turns: TurnService, metrics: Metrics): TurnService {
  async function counted<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      metrics.turnStarted(error instanceof Problem ? error.code : 'internal')
      throw error
    }
  }
  return {
    ...turns,
    async place(...args) {
      const since = performance.now()
      const placed = await counted(() => turns.place(...args))
      return {
        async start() {
          const run = await counted(() => placed.start())
          metrics.turnStarted(
            run.replayed ? 'replayed' : run.conversationId === undefined ? 'unstored' : 'stored',
          )
          if (!run.replayed) metrics.turnBegan(run.runId, since)
          return run
        },
      }
    },
  }
}

function durations({ createdAt, startedAt, finishedAt }: RunEnd) {
  const seconds = (from: Date | null, to: Date | null) =>
    from === null || to === null ? undefined : (to.getTime() - from.getTime()) / 1000
  return { queueSeconds: seconds(createdAt, startedAt), runSeconds: seconds(startedAt, finishedAt) }
}
