import type { Test } from 'tap'

/** Reports a measurement as a comment of the test. A developer watches a long run, so it also prints it in the terminal. */
export function tell(t: Test, figures: string, isLong: boolean): void {
  t.comment(figures)
  if (isLong) console.error(figures)
}
