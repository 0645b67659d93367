import type { FastifyReply } from 'fastify'

/**
 * A signal that aborts when the client closes the connection, or has closed it already. `request.signal` does not do
 * that: it aborts as soon as the body of the request has arrived, and it misses an earlier close.
 */
export function connectionClosed({ raw }: FastifyReply): AbortSignal {
  if (raw.closed) return AbortSignal.abort()
  const closed = new AbortController()
  raw.once('close', () => closed.abort())
  return closed.signal
}
