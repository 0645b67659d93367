import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** How long the load of the process is measured, and how long work waits while the process is busy. */
const MEASURED_MS = 100
const PAUSE_MS = 100
/** The share of the time in which a busy process is at work. */
const BUSY = 0.7

/**
 * Makes upkeep give way to requests. While the process is busy, every piece of upkeep waits for a tenth of a second. So
 * upkeep never stops, takes a few per cent of a busy process, and runs at full speed in an idle process.
 */
export function patience(): () => Promise<void> {
  let measured = performance.eventLoopUtilization()
  let measuredAt = performance.now()
  let isBusy = false
  return async () => {
    if (performance.now() - measuredAt >= MEASURED_MS) {
      const now = performance.eventLoopUtilization()
      isBusy = performance.eventLoopUtilization(now, measured).utilization > BUSY
      measured = now
      measuredAt = performance.now()
    }
    if (isBusy) await sleep(PAUSE_MS)
  }
}
