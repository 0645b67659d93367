import { Counter, Gauge, type Registry } from 'prom-client'
import type { Lag } from '../services/upkeep/upkeep.ts'
import type { DeliveryLag } from '../stores/deliveries.ts'

/** The values that are read at a scrape. Undefined leaves the metric out of the answer. */
export interface Readings {
  pool(): { total: number; idle: number; waiting: number }
  poolMax: number
  uncounted(): number
  streams(): { viewers: number; logs: number } | undefined
  sweeps(): Lag | undefined
  webhooks(): DeliveryLag | undefined
  feed(): { viewers: number; heldSeconds: number }
  components(): Promise<Record<string, 'ok' | 'down'>>
}

/** Registers the metrics whose values are read when Prometheus scrapes. All times are seconds. */
export function registerReadings(registry: Registry, readings: Readings): void {
  readPool(registry, readings)
  readStreams(registry, readings)
  readSweeps(registry, readings)
  readWebhooks(registry, readings)
  readComponents(registry, readings)
  const registers = [registry]
  new Counter({
    name: 'agent_chat_rate_limit_uncounted_total',
    help: 'Requests that passed uncounted because Redis was away',
    registers,
    collect() {
      this.reset()
      this.inc(readings.uncounted())
    },
  })
}

function readPool(registry: Registry, readings: Readings): void {
  new Gauge({
    name: 'agent_chat_database_pool_connections',
    help: 'Connections of the pool by state, and requests that wait for one',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const { total, idle, waiting } = readings.pool()
      this.set({ state: 'used' }, total - idle)
      this.set({ state: 'idle' }, idle)
      this.set({ state: 'waiting' }, waiting)
    },
  })
  gauge(
    registry,
    'agent_chat_database_pool_max',
    'Connections that the pool may open',
    () => readings.poolMax,
  )
}

function readStreams(registry: Registry, readings: Readings): void {
  gauge(registry, 'agent_chat_stream_viewers', 'Streams that clients read from this instance', () => {
    return readings.streams()?.viewers ?? 0
  })
  gauge(registry, 'agent_chat_streamed_runs', 'Runs that this instance reads from the engine', () => {
    return readings.streams()?.logs ?? 0
  })
  gauge(registry, 'agent_chat_feed_viewers', 'Feeds that clients read from this instance', () => {
    return readings.feed().viewers
  })
  gauge(
    registry,
    'agent_chat_feed_held_seconds',
    'How long the oldest event of the feed has been waiting for the end of an older transaction of the database server',
    () => readings.feed().heldSeconds,
  )
}

function readSweeps(registry: Registry, readings: Readings): void {
  gauge(
    registry,
    'agent_chat_sweeper_lag_seconds',
    'How long the run that is due longest has been due',
    () => {
      return readings.sweeps()?.sweeperLagSeconds
    },
  )
  gauge(registry, 'agent_chat_oldest_unfinished_seconds', 'Age of the oldest unfinished run', () => {
    return readings.sweeps()?.oldestUnfinishedSeconds
  })
  gauge(registry, 'agent_chat_unfinished_runs', 'Runs that have not ended, of all instances', () => {
    return readings.sweeps()?.unfinished
  })
}

function readWebhooks(registry: Registry, readings: Readings): void {
  gauge(
    registry,
    'agent_chat_webhook_overdue_seconds',
    'How long the webhook that is due longest has been due',
    () => readings.webhooks()?.overdueSeconds,
  )
  new Gauge({
    name: 'agent_chat_webhook_endpoint_off',
    help: '1 for each webhook endpoint that has answered 410 and is switched off',
    labelNames: ['receiver'],
    registers: [registry],
    collect() {
      this.reset()
      for (const receiver of readings.webhooks()?.off ?? []) this.set({ receiver }, 1)
    },
  })
}

function readComponents(registry: Registry, readings: Readings): void {
  new Gauge({
    name: 'agent_chat_component_up',
    help: 'Components on which readiness depends: 1 when the component answers, 0 when it is away',
    labelNames: ['component'],
    registers: [registry],
    async collect() {
      for (const [component, state] of Object.entries(await readings.components())) {
        this.set({ component }, state === 'ok' ? 1 : 0)
      }
    },
  })
}

/** A gauge without labels. Undefined removes its sample, because an old value would count as the present one. */
function gauge(registry: Registry, name: string, help: string, read: () => number | undefined): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      const value = read()
      if (value === undefined) this.remove()
      else this.set(value)
    },
  })
}
