import type { Test } from 'tap'

/** Makes `Date.now` stand still until the test advances it. */
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
