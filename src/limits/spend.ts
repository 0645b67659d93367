import type { FastifyRequest } from 'fastify'
import { type Problem, problem } from '../errors.ts'
import type { Budget, Limit } from './limit.ts'

/**
 * Counts one use of every limit. When one limit is used up, no use is counted, so that a refused request takes nothing
 * from a budget that its repetition needs.
 *
 * @returns the rest of each limit
 */
export async function spend(limits: Limit[], request: FastifyRequest): Promise<Budget[]> {
  if (limits.length > 1) {
    const before = await Promise.all(limits.map((limit) => limit.peek(request)))
    if (before.some(isUsedUp)) return before.map((budget) => ({ ...budget, exceeded: isUsedUp(budget) }))
  }
  return Promise.all(limits.map((limit) => limit.use(request)))
}

const isUsedUp = ({ remaining }: Budget) => remaining === 0

/** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). */
export function rateLimitHeaders(budgets: Budget[]): Record<string, string> {
  const list = (item: (budget: Budget) => string) => budgets.map(item).join(', ')
  return {
    'ratelimit-policy': list(({ limit }) => `"${limit.name}";q=${limit.max};w=${limit.windowSeconds}`),
    ratelimit: list(({ limit, remaining, seconds }) => `"${limit.name}";r=${remaining};t=${seconds}`),
  }
}

/** The refusal when limits were exceeded. It names the longest wait. */
export function exceeded(budgets: Budget[]): Problem | undefined {
  const [longest] = budgets.filter((budget) => budget.exceeded).sort((a, b) => b.seconds - a.seconds)
  if (longest === undefined) return undefined
  const { limit, seconds } = longest
  return problem('rate_limited', {
    detail: `${limit.max} ${limit.noun} per ${period(limit.windowSeconds)}; next allowed in ${seconds} s.`,
    retryAfter: seconds,
    headers: rateLimitHeaders(budgets),
  })
}

const PERIODS: Record<number, string> = { 1: 'second', 60: 'minute', 3600: 'hour', 86400: 'day' }
const period = (seconds: number) => PERIODS[seconds] ?? `${seconds} seconds`
