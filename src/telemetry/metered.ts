import type { RunEngine } from '../engine/run-engine.ts'
import { Problem } from '../errors.ts'
import type { Stores } from '../services/context.ts'
import type { TurnService } from '../services/turns.ts'
import type { FinalTurn } from '../stores/turns.ts'
import type { Streams } from '../streams/streams.ts'
import type { Metrics } from './metrics.ts'

/** Counts the runs that end here: of several instances, the one that wrote the end. */
export function meteredStores(stores: Stores, metrics: Metrics): Stores {
  return {
    ...stores,
    turns: {
      ...stores.turns,
      async finalize(turn) {
        const done = await stores.turns.finalize(turn)
        if (done) metrics.runFinished({ ...turn, ...durations(turn) })
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
  return {
    ...turns,
    async start(...args) {
      const since = performance.now()
      try {
        const run = await turns.start(...args)
        metrics.turnStarted(
          run.replayed ? 'replayed' : run.conversationId === undefined ? 'unstored' : 'stored',
        )
        if (!run.replayed) metrics.turnBegan(run.runId, since)
        return run
      } catch (error) {
        metrics.turnStarted(error instanceof Problem ? error.code : 'internal')
        throw error
      }
    },
  }
}

function durations({ turnId, startedAt, finishedAt }: FinalTurn) {
  const seconds = (from: number, to: Date | null) => (to === null ? undefined : (to.getTime() - from) / 1000)
  return {
    queueSeconds: seconds(millisecondsOf(turnId), startedAt),
    runSeconds: startedAt === null ? undefined : seconds(startedAt.getTime(), finishedAt),
  }
}

/** A uuid of version 7 begins with the time at which it was made. */
const millisecondsOf = (uuid: string): number => Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16)
