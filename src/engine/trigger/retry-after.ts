/** The wait when an answer names none. */
const DEFAULT_MS = 1_000

/**
 * The milliseconds, at least one second, in which the engine wants no further call: `Retry-After` (RFC 9110 §10.2.3:
 * seconds or a date), else Trigger.dev's `x-ratelimit-reset` (milliseconds since 1970). Dates are compared with the
 * `Date` of the same answer, because the clocks of engine and instance may differ.
 */
export function retryAfterMs(headers: Record<string, string | null | undefined>): number {
  const now = Date.parse(headers.date ?? '') || Date.now()
  return Math.max(
    DEFAULT_MS,
    named(headers['retry-after'], now) ?? until(headers['x-ratelimit-reset'], now) ?? 0,
  )
}

function named(retryAfter: string | null | undefined, now: number): number | undefined {
  if (!retryAfter) return undefined
  if (/^\s*\d+(\.\d+)?\s*$/.test(retryAfter)) return Number(retryAfter) * 1_000
  const at = Date.parse(retryAfter)
  return Number.isNaN(at) ? undefined : at - now
}

function until(reset: string | null | undefined, now: number): number | undefined {
  return reset && /^\s*\d+\s*$/.test(reset) ? Number(reset) - now : undefined
}
