/** The most runs whose start is remembered. Most runs are never streamed, so the oldest runs are dropped. */
const BEGUN_MAX = 1000

export type FirstTextTimer = ReturnType<typeof firstTextTimer>

/**
 * Measures the time to the first text, for runs that a viewer reads from their beginning.
 * @param observe takes the seconds from the start of a turn to its first text
 */
export function firstTextTimer(observe: (seconds: number) => void) {
  const begun = new Map<string, number>()
  const awaited = new Map<string, number>()

  return {
    /** @param since the time of the start, by `performance.now()` */
    turnBegan(runId: string, since: number): void {
      begun.set(runId, since)
      const [oldest] = begun.keys()
      if (begun.size > BEGUN_MAX && oldest !== undefined) begun.delete(oldest)
    },
    /** Begins the measurement for a viewer that reads the run from its beginning. */
    awaitFirstText(runId: string): void {
      const since = begun.get(runId)
      begun.delete(runId)
      if (since !== undefined) awaited.set(runId, since)
    },
    /** Ends the measurement when the viewer has left, because the first text that a later viewer gets may be old. */
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
