import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'
import { RUN_ERROR_CODES } from '../run-failures.ts'

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const RUN_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600]
const ENGINE_CALLS = ['start', 'retrieve', 'list', 'cancel', 'stream', 'ping']

/** Registers the metrics of the process itself. */
export function registerProcess(registry: Registry, version: string): void {
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'agent_chat_build_info',
    help: 'Always 1; the version of the service is a label',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1)
}

/** Registers the metrics of HTTP requests. */
export function requestCounts(registry: Registry) {
  const registers = [registry]
  return {
    duration: new Histogram({
      name: 'agent_chat_http_request_duration_seconds',
      help: 'Requests by route and status. `aborted`: the client left, or a drain cut the stream. `held`: streams and long polls, which take long by intent. Method and route are `other` for requests that no route accepted: a bad token, an unknown address, a wrong method, a preflight',
      labelNames: ['method', 'route', 'status', 'held'],
      buckets: REQUEST_SECONDS,
      registers,
    }),
    inFlight: new Gauge({
      name: 'agent_chat_http_requests_in_flight',
      help: 'Requests that have not been answered completely, streams included',
      registers,
    }),
    limited: new Counter({
      name: 'agent_chat_rate_limit_decisions_total',
      help: 'Requests that a rate limit let pass or refused',
      labelNames: ['bucket', 'decision'],
      registers,
    }),
  }
}

/** Registers the metrics of turns and runs. A rate misses the first count of a new series, so known series begin with 0. */
export function runCounts(registry: Registry, agents: readonly string[]) {
  const registers = [registry]
  const finished = new Counter({
    name: 'agent_chat_runs_finished_total',
    help: 'Runs whose end this instance has stored, by status, error code and agent',
    labelNames: ['status', 'error_code', 'agent'],
    registers,
  })
  for (const agent of agents) {
    for (const status of ['completed', 'cancelled']) finished.inc({ status, error_code: '', agent }, 0)
    for (const code of RUN_ERROR_CODES) finished.inc({ status: 'failed', error_code: code, agent }, 0)
  }
  return {
    finished,
    started: new Counter({
      name: 'agent_chat_turns_started_total',
      help: 'Starts by outcome: stored, unstored (the database was away), replayed, or the code of the refusal',
      labelNames: ['outcome'],
      registers,
    }),
    queued: new Histogram({
      name: 'agent_chat_run_queue_seconds',
      help: 'From the start of a turn to its execution',
      buckets: RUN_SECONDS,
      registers,
    }),
    ran: new Histogram({
      name: 'agent_chat_run_duration_seconds',
      help: 'Execution of runs by status and agent',
      labelNames: ['status', 'agent'],
      buckets: RUN_SECONDS,
      registers,
    }),
    tokens: new Counter({
      name: 'agent_chat_tokens_total',
      help: 'Tokens of runs whose end this instance has stored, by model, type (input, output) and agent; estimates included',
      labelNames: ['model', 'type', 'agent'],
      registers,
    }),
    firstText: new Histogram({
      name: 'agent_chat_first_token_seconds',
      help: 'From the start of a turn to the first text of its answer, of turns that were started as streams. A caller who starts a turn and then joins its stream, here or on another instance, is not counted',
      buckets: RUN_SECONDS,
      registers,
    }),
  }
}

/** Registers the metrics of calls to Trigger.dev. */
export function engineCounts(registry: Registry) {
  const calls = new Histogram({
    name: 'agent_chat_engine_call_duration_seconds',
    help: "Attempts at Trigger.dev's API by kind and outcome (ok, timeout, connection, the status, or busy: not made)",
    labelNames: ['kind', 'outcome'],
    buckets: REQUEST_SECONDS,
    registers: [registry],
  })
  for (const kind of ENGINE_CALLS) calls.zero({ kind, outcome: '429' })
  return calls
}

export const WEBHOOK_OUTCOMES = ['delivered', 'retried', 'given_up'] as const

/** Registers the metrics of webhooks. A rate misses the first count of a new series, so all series begin with 0. */
export function webhookCounts(registry: Registry, receivers: readonly string[]) {
  const registers = [registry]
  const counts = {
    attempts: new Counter({
      name: 'agent_chat_webhook_attempts_total',
      help: 'Attempts of this instance to deliver a webhook: delivered, retried (it is tried again) or given_up. The receiver is an endpoint of the configuration, or `start` for the addresses that starts name',
      labelNames: ['receiver', 'outcome'],
      registers,
    }),
    duration: new Histogram({
      name: 'agent_chat_webhook_attempt_duration_seconds',
      help: 'How long receivers of webhooks take to answer, refused addresses included',
      labelNames: ['receiver'],
      buckets: REQUEST_SECONDS,
      registers,
    }),
  }
  for (const receiver of receivers)
    for (const outcome of WEBHOOK_OUTCOMES) counts.attempts.inc({ receiver, outcome }, 0)
  return counts
}
