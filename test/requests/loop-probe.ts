import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'

const TICK_MS = 10

/** The longest time that the event loop was blocked: by work of its thread, and by the clock. */
export interface Blocked {
  workMs: number
  clockMs: number
}

/**
 * Measures how long the event loop is blocked: by the time of this thread's own work between two looks at its timers,
 * which a machine with other work does not change, and by the clock.
 */
export function startLoopProbe() {
  const delay = monitorEventLoopDelay({ resolution: TICK_MS })
  delay.enable()
  let longest = 0
  let last = worked()
  const timer = setInterval(() => {
    const now = worked()
    longest = Math.max(longest, now - last)
    last = now
  }, TICK_MS)
  return {
    stop(): Blocked {
      clearInterval(timer)
      delay.disable()
      return { workMs: Math.round(longest), clockMs: Math.round(delay.max / 1e6) }
    },
  }
}

/** Milliseconds that this thread has worked so far. */
function worked(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}
