import type { Test } from 'tap'

/** Tells what was measured: as a comment of the test, and in a long run, which a developer watches, in the terminal. */
export function tell(t: Test, figures: string, isLong: boolean): void {
  t.comment(figures)
  if (isLong) console.error(figures)
}
