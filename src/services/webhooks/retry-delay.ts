/** Seconds before the second attempt, the third, and so on: three days in all (Standard Webhooks, retry schedule). */
export const RETRY_SECONDS = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
/** The longest pause. A receiver that asks for a longer one gets the next attempt after this pause. */
const LONGEST_SECONDS = 86_400
const JITTER = 0.1

/**
 * The pause after a failed attempt: the pause of the schedule, up to a tenth longer or shorter, or the pause that the
 * receiver has asked for, when that one is longer.
 * @param attempts attempts so far
 * @returns undefined when no further attempt is made
 */
export function retryDelay(
  attempts: number,
  retryAfter = 0,
  schedule: readonly number[] = RETRY_SECONDS,
): number | undefined {
  const pause = schedule[attempts - 1]
  if (pause === undefined) return undefined
  const spread = 1 + JITTER * (2 * Math.random() - 1)
  return Math.max(pause * spread, Math.min(retryAfter, LONGEST_SECONDS))
}
