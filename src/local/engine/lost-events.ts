import type { Run } from './run.ts'

/**
 * Chooses the changes of runs that are kept from all subscriptions. A real server's realtime backend loses some changes
 * under load: 5 of 117 ends were lost in a measurement. The number of a change alone decides, so that the same sequence
 * of changes loses the same changes again.
 *
 * @param share of all changes, from 0 (none) to 1 (all)
 */
export function lostEvents(share: number): (run: Run) => boolean {
  return (run) => share > 0 && fraction(run.lastChange) < share
}

/** A number from 0 to below 1 that looks random and depends on `n` alone (one step of mulberry32). */
function fraction(n: number): number {
  let x = (n * 0x6d2b79f5) | 0
  x = Math.imul(x ^ (x >>> 15), x | 1)
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
}
