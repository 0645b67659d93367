import type { FastifyReply } from 'fastify'

/**
 * Aborts when the client goes, or has gone. `request.signal` goes by the request: with a body, that one closes as
 * soon as it has arrived, and what has closed before it is asked for is not noticed.
 */
export function gone({ raw }: FastifyReply): AbortSignal {
  if (raw.closed) return AbortSignal.abort()
  const left = new AbortController()
  raw.once('close', () => left.abort())
  return left.signal
}
