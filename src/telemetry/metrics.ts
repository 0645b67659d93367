import { Registry } from 'prom-client'
import { DEFAULT_AGENT, type TurnUsage } from '../agent/turn.ts'
import {
  engineCounts,
  registerProcess,
  requestCounts,
  runCounts,
  type WEBHOOK_OUTCOMES,
  webhookCounts,
} from './counts.ts'
import { firstTextTimer } from './first-text.ts'
import { type Readings, registerReadings } from './readings.ts'

/** The metrics of one instance. All times are seconds. */
export type Metrics = ReturnType<typeof createMetrics>

export interface RequestLabels {
  method: string
  route: string
  status: string
  held: 'yes' | 'no'
}

export interface FinishedRun {
  agent: string
  status: string
  errorCode: string | null
  usage: TurnUsage | null
  facts: { model?: string }
  queueSeconds: number | undefined
  runSeconds: number | undefined
}

/** The most names of models. Workers send these names, and a faulty worker must not add series without end. */
const MODELS_MAX = 50

/**
 * All metrics of one instance, in a registry of their own.
 * @param webhookReceivers names of the receivers of webhooks
 * @param agents names of the agents that may be asked
 */
export function createMetrics(
  version: string,
  webhookReceivers: readonly string[] = [],
  agents: readonly string[] = [DEFAULT_AGENT],
) {
  const registry = new Registry()
  registerProcess(registry, version)
  const requests = requestCounts(registry)
  const runs = runCounts(registry, agents)
  const engineCalls = engineCounts(registry)
  const webhooks = webhookCounts(registry, webhookReceivers)
  const models = new Set<string>()

  function countTokens({ inputTokens, outputTokens }: TurnUsage, agent: string, model = 'unknown'): void {
    if (models.size < MODELS_MAX) models.add(model)
    const known = models.has(model) ? model : 'other'
    runs.tokens.inc({ model: known, type: 'input', agent }, inputTokens)
    runs.tokens.inc({ model: known, type: 'output', agent }, outputTokens)
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
    runFinished(run: FinishedRun): void {
      const { status, errorCode, agent, usage, facts, queueSeconds, runSeconds } = run
      runs.finished.inc({ status, error_code: errorCode ?? '', agent })
      if (usage !== null) countTokens(usage, agent, facts.model)
      if (queueSeconds !== undefined) runs.queued.observe(Math.max(0, queueSeconds))
      if (runSeconds !== undefined) runs.ran.observe({ status, agent }, Math.max(0, runSeconds))
    },
    engineCall: ({ kind, outcome, seconds }: { kind: string; outcome: string; seconds: number }) =>
      engineCalls.observe({ kind, outcome }, seconds),
    webhookSent: (receiver: string, seconds: number) => webhooks.duration.observe({ receiver }, seconds),
    webhookAttempted: (receiver: string, outcome: (typeof WEBHOOK_OUTCOMES)[number]) =>
      webhooks.attempts.inc({ receiver, outcome }),
    limited: (bucket: string, decision: 'allowed' | 'refused') => requests.limited.inc({ bucket, decision }),

    /** Adds the metrics whose values are read when Prometheus scrapes. */
    read: (readings: Readings) => registerReadings(registry, readings),
  }
}
