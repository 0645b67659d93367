import { Registry } from 'prom-client'
import type { TurnUsage } from '../agent/turn.ts'
import { engineCounts, registerProcess, requestCounts, runCounts } from './counts.ts'
import { firstTextTimer } from './first-text.ts'
import { type Readings, registerReadings } from './readings.ts'

/** What the service counts. All times are seconds. */
export type Metrics = ReturnType<typeof createMetrics>

export interface RequestLabels {
  method: string
  route: string
  status: string
  held: 'yes' | 'no'
}

export interface FinishedRun {
  status: string
  errorCode: string | null
  usage: TurnUsage | null
  queueSeconds: number | undefined
  runSeconds: number | undefined
}

/** Model names come from workers; a worker that invents them must not grow the series without a bound. */
const MODELS_MAX = 50

/** All metrics of one instance, in a registry of their own. */
export function createMetrics(version: string) {
  const registry = new Registry()
  registerProcess(registry, version)
  const requests = requestCounts(registry)
  const runs = runCounts(registry)
  const engineCalls = engineCounts(registry)
  const models = new Set<string>()

  function countTokens({ model = 'unknown', inputTokens, outputTokens }: TurnUsage): void {
    if (models.size < MODELS_MAX) models.add(model)
    const known = models.has(model) ? model : 'other'
    runs.tokens.inc({ model: known, type: 'input' }, inputTokens)
    runs.tokens.inc({ model: known, type: 'output' }, outputTokens)
  }

  return {
    registry,
    ...firstTextTimer((seconds) => runs.firstText.observe(seconds)),

    requestStarted: () => requests.inFlight.inc(),
    requestEnded(labels: RequestLabels, seconds: number): void {
      requests.inFlight.dec()
      requests.duration.observe({ ...labels }, seconds)
    },
    turnStarted: (outcome: string) => runs.started.inc({ outcome }),
    runFinished({ status, errorCode, usage, queueSeconds, runSeconds }: FinishedRun): void {
      runs.finished.inc({ status, error_code: errorCode ?? '' })
      if (usage !== null) countTokens(usage)
      if (queueSeconds !== undefined) runs.queued.observe(Math.max(0, queueSeconds))
      if (runSeconds !== undefined) runs.ran.observe({ status }, Math.max(0, runSeconds))
    },
    engineCall: ({ kind, outcome, seconds }: { kind: string; outcome: string; seconds: number }) =>
      engineCalls.observe({ kind, outcome }, seconds),
    limited: (bucket: string, decision: 'allowed' | 'refused') => requests.limited.inc({ bucket, decision }),

    /** Adds what is read when Prometheus scrapes. */
    read: (readings: Readings) => registerReadings(registry, readings),
  }
}
