import type { Test } from 'tap'

/** `Date.now` stands still until the test moves it. */
export function frozenClock(t: Test) {
  const real = Date.now
  let now = real()
  Date.now = () => now
  t.teardown(() => {
    Date.now = real
  })
  return {
    advance(ms: number) {
      now += ms
    },
  }
}
