/** Number of runs whose beginning is remembered for a viewer. Most runs are never streamed, so the oldest are dropped. */
const BEGUN_MAX = 1000

export type FirstTextTimer = ReturnType<typeof firstTextTimer>

/**
 * Times the first text of runs that are viewed from their beginning.
 * @param observe takes the seconds from the start of a turn to its first text
 */
export function firstTextTimer(observe: (seconds: number) => void) {
  const begun = new Map<string, number>()
  const awaited = new Map<string, number>()

  return {
    /** @param since when the run's turn was asked for, by `performance.now()` */
    turnBegan(runId: string, since: number): void {
      begun.set(runId, since)
      const [oldest] = begun.keys()
      if (begun.size > BEGUN_MAX && oldest !== undefined) begun.delete(oldest)
    },
    /** A viewer reads the run from its beginning, so its first text has yet to come. */
    awaitFirstText(runId: string): void {
      const since = begun.get(runId)
      begun.delete(runId)
      if (since !== undefined) awaited.set(runId, since)
    },
    /** The viewer has left. The first text that a later viewer sees may be old, so it is not timed. */
    forgetFirstText(runId: string): void {
      awaited.delete(runId)
    },
    sawText(runId: string): void {
      const since = awaited.get(runId)
      if (since === undefined) return
      awaited.delete(runId)
      observe((performance.now() - since) / 1000)
    },
  }
}
