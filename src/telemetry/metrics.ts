import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { RUN_ERROR_CODES } from '../services/run-failures.ts'
import type { Lag } from '../services/upkeep.ts'

/** What the service counts. All times are seconds. */
export type Metrics = ReturnType<typeof createMetrics>

/** What is read at the moment of a scrape; undefined leaves the metric out of it. */
export interface Readings {
  pool(): { total: number; idle: number; waiting: number }
  poolMax: number
  uncounted(): number
  streams(): { viewers: number; logs: number } | undefined
  sweeps(): Lag | undefined
  components(): Promise<Record<string, 'ok' | 'down'>>
}

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const RUN_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600]
/** Turns whose beginning is remembered until somebody watches; most are never streamed, so the oldest are forgotten. */
const BEGUN_MAX = 1000
const ENGINE_CALLS = ['start', 'retrieve', 'list', 'cancel', 'stream', 'ping']

/** All metrics of one instance, in a registry of their own. */
export function createMetrics(version: string) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  new Gauge({
    name: 'agent_chat_build_info',
    help: 'Always 1; the version of the service is a label',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1)

  const requests = new Histogram({
    name: 'agent_chat_http_request_duration_seconds',
    help: 'Requests by route and status; `aborted`: the client left, or a drain cut the stream. `held`: streams and waits, long by intent',
    labelNames: ['method', 'route', 'status', 'held'],
    buckets: REQUEST_SECONDS,
    registers,
  })
  const inFlight = new Gauge({
    name: 'agent_chat_http_requests_in_flight',
    help: 'Requests that have not been answered completely, streams included',
    registers,
  })
  const started = new Counter({
    name: 'agent_chat_turns_started_total',
    help: 'Starts by outcome: stored, unstored (the database was away), replayed, or the code of the refusal',
    labelNames: ['outcome'],
    registers,
  })
  const finished = new Counter({
    name: 'agent_chat_runs_finished_total',
    help: 'Runs that this instance saw to their end, by status and error code',
    labelNames: ['status', 'error_code'],
    registers,
  })
  const queued = new Histogram({
    name: 'agent_chat_run_queue_seconds',
    help: 'From the start of a turn to its execution',
    buckets: RUN_SECONDS,
    registers,
  })
  const ran = new Histogram({
    name: 'agent_chat_run_duration_seconds',
    help: 'Execution of runs by status',
    labelNames: ['status'],
    buckets: RUN_SECONDS,
    registers,
  })
  const firstToken = new Histogram({
    name: 'agent_chat_first_token_seconds',
    help: 'From the start of a turn to the first text of its answer, of turns that were started as streams. Who starts a turn and then joins its stream, here or on another instance, is not counted',
    buckets: RUN_SECONDS,
    registers,
  })
  const engineCalls = new Histogram({
    name: 'agent_chat_engine_call_duration_seconds',
    help: "Attempts at Trigger.dev's API by kind and outcome (ok, timeout, connection, the status, or busy: not made)",
    labelNames: ['kind', 'outcome'],
    buckets: REQUEST_SECONDS,
    registers,
  })
  const limited = new Counter({
    name: 'agent_chat_rate_limit_decisions_total',
    help: 'Requests that a rate limit let pass or refused',
    labelNames: ['bucket', 'decision'],
    registers,
  })
  // A rate misses the first of a series that did not exist before: what alerts look for begins with 0.
  for (const status of ['completed', 'cancelled']) finished.inc({ status, error_code: '' }, 0)
  for (const code of RUN_ERROR_CODES) finished.inc({ status: 'failed', error_code: code }, 0)
  for (const kind of ENGINE_CALLS) engineCalls.zero({ kind, outcome: '429' })

  const begun = new Map<string, number>()
  const awaited = new Map<string, number>()

  return {
    registry,

    requestStarted: () => inFlight.inc(),
    requestEnded(labels: { method: string; route: string; status: string; held: string }, seconds: number) {
      inFlight.dec()
      requests.observe(labels, seconds)
    },
    turnStarted: (outcome: string) => started.inc({ outcome }),
    /** `since`, by `performance.now()`, is when the run's turn was asked for. */
    turnBegan(runId: string, since: number) {
      begun.set(runId, since)
      const [oldest] = begun.keys()
      if (begun.size > BEGUN_MAX && oldest !== undefined) begun.delete(oldest)
    },
    /** Somebody watches the run from its beginning: its first text is yet to come. */
    awaitFirstText(runId: string) {
      const since = begun.get(runId)
      begun.delete(runId)
      if (since !== undefined) awaited.set(runId, since)
    },
    /** Nobody does any more: who joins later is shown text that was there before. */
    forgetFirstText: (runId: string) => void awaited.delete(runId),
    sawText(runId: string) {
      const since = awaited.get(runId)
      if (since === undefined) return
      awaited.delete(runId)
      firstToken.observe((performance.now() - since) / 1000)
    },
    runFinished(run: {
      status: string
      errorCode: string | null
      queueSeconds: number | undefined
      runSeconds: number | undefined
    }) {
      const { status, errorCode, queueSeconds, runSeconds } = run
      finished.inc({ status, error_code: errorCode ?? '' })
      if (queueSeconds !== undefined) queued.observe(Math.max(0, queueSeconds))
      if (runSeconds !== undefined) ran.observe({ status }, Math.max(0, runSeconds))
    },
    engineCall: ({ kind, outcome, seconds }: { kind: string; outcome: string; seconds: number }) =>
      engineCalls.observe({ kind, outcome }, seconds),
    limited: (bucket: string, decision: 'allowed' | 'refused') => limited.inc({ bucket, decision }),

    /** Adds what is read when somebody scrapes. */
    read(readings: Readings): void {
      const gauge = (name: string, help: string, collect: (gauge: Gauge) => void | Promise<void>) =>
        new Gauge({
          name,
          help,
          registers,
          collect() {
            return collect(this)
          },
        })

      new Gauge({
        name: 'agent_chat_database_pool_connections',
        help: 'Connections of the pool by state, and requests that wait for one',
        labelNames: ['state'],
        registers,
        collect() {
          const { total, idle, waiting } = readings.pool()
          this.set({ state: 'used' }, total - idle)
          this.set({ state: 'idle' }, idle)
          this.set({ state: 'waiting' }, waiting)
        },
      })
      gauge('agent_chat_database_pool_max', 'Connections that the pool may open', (max) => {
        max.set(readings.poolMax)
      })
      new Counter({
        name: 'agent_chat_rate_limit_uncounted_total',
        help: 'Requests that passed uncounted because Redis was away',
        registers,
        collect() {
          this.reset()
          this.inc(readings.uncounted())
        },
      })
      gauge('agent_chat_stream_viewers', 'Streams that clients read from this instance', (viewers) => {
        viewers.set(readings.streams()?.viewers ?? 0)
      })
      gauge('agent_chat_streamed_runs', 'Runs that this instance reads from the engine', (runs) => {
        runs.set(readings.streams()?.logs ?? 0)
      })
      gauge('agent_chat_sweeper_lag_seconds', 'How long the run that is due longest has been due', (lag) => {
        setOrDrop(lag, readings.sweeps()?.sweeperLagSeconds)
      })
      gauge('agent_chat_oldest_unfinished_seconds', 'Age of the oldest unfinished run', (age) => {
        setOrDrop(age, readings.sweeps()?.oldestUnfinishedSeconds)
      })
      gauge('agent_chat_unfinished_runs', 'Runs that have not ended, of all instances', (runs) => {
        setOrDrop(runs, readings.sweeps()?.unfinished)
      })
      new Gauge({
        name: 'agent_chat_component_up',
        help: 'What readiness depends on: 1 when it is there, 0 when it is away',
        labelNames: ['component'],
        registers,
        async collect() {
          for (const [component, state] of Object.entries(await readings.components())) {
            this.set({ component }, state === 'ok' ? 1 : 0)
          }
        },
      })
    },
  }
}

/** Without a database nothing is known; an old value would look like a new one. */
function setOrDrop(gauge: Gauge, value: number | undefined): void {
  if (value === undefined) gauge.remove()
  else gauge.set(value)
}
