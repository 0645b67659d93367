import type { FastifyReply } from 'fastify'
import { HttpError, PROBLEM } from './answers.ts'
import type { Switches } from './switches.ts'

/** The token bucket behind the `x-ratelimit-*` headers, which every answer of the API carries. */
export function rateLimiter({ rateLimit, enforceRateLimit }: Switches): (reply: FastifyReply) => void {
  const { bucket, refill, intervalMs } = rateLimit
  let tokens = bucket
  let filledAt = Date.now()

  return (reply) => {
    const intervals = Math.floor((Date.now() - filledAt) / intervalMs)
    tokens = Math.min(bucket, tokens + intervals * refill)
    filledAt += intervals * intervalMs
    const reset = filledAt + intervalMs
    const exhausted = tokens <= 0
    tokens = Math.max(0, tokens - 1)
    reply.headers({
      'x-ratelimit-limit': String(bucket),
      'x-ratelimit-remaining': String(tokens),
      'x-ratelimit-reset': String(reset),
    })
    if (exhausted && enforceRateLimit) throw tooManyRequests(bucket, reset)
  }
}

function tooManyRequests(limit: number, reset: number): HttpError {
  const secondsUntilReset = Math.max(0, Math.ceil((reset - Date.now()) / 1000))
  const detail = `Rate limit exceeded 0/${limit} requests remaining. Retry in ${secondsUntilReset} seconds.`
  const body = {
    title: 'Rate Limit Exceeded',
    status: 429,
    type: 'https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/429',
    detail,
    reset,
    limit,
    remaining: 0,
    secondsUntilReset,
    error: detail,
  }
  return new HttpError(429, body, PROBLEM)
}
