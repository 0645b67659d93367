import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { v7 as uuid } from 'uuid'
import { type ProblemCode, problem } from '../errors.ts'
import { problemBody } from './problem-body.ts'
import { resetConnection } from './reset-connection.ts'
import { isDroppingBody } from './rest-of-body.ts'

/** Problem codes of two errors of Node's HTTP server. Any other error is `malformed_http`. */
const CODES: Record<string, ProblemCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

/** Milliseconds in which the answer can arrive before the connection of a client that still sends is destroyed. */
const LINGER_MS = 1_000

/**
 * Answers bytes that never became a request, in the one shape of all refusals (docs/api.md#2-errors), and ends the
 * connection: where the next request would begin is unknown. Address and request id are unknown too: `instance` is
 * empty, which is a reference to the request itself (RFC 3986 §4.4), and the id is new.
 */
export function refuseConnection(
  this: FastifyInstance,
  error: Error & { code: string },
  socket: Socket,
): void {
  if (isDroppingBody(socket)) {
    socket.destroySoon()
    return
  }
  if (isAnswering(socket)) {
    resetConnection(socket)
    return
  }
  // The refusal below was sent for earlier bytes. Later bytes are dropped until the client has received the refusal.
  if (socket.writableEnded) return
  // The client has closed the connection.
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const refusal = problem(CODES[error.code] ?? 'malformed_http')
  const id = uuid()
  const body = JSON.stringify(problemBody(refusal, { id, originalUrl: '' }, this.publicPath))
  this.log.debug({ requestId: id, code: refusal.code, reason: error.message }, refusal.message)
  socket.end(
    [
      `HTTP/1.1 ${refusal.statusCode} ${STATUS_CODES[refusal.statusCode]}`,
      'content-type: application/problem+json',
      `content-length: ${Buffer.byteLength(body)}`,
      `x-request-id: ${id}`,
      'cache-control: no-store',
      'x-content-type-options: nosniff',
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  )
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

/** Whether an answer is being sent. Node keeps a connection's response on its socket, and checks this field too. */
function isAnswering(socket: Socket & { _httpMessage?: { _headerSent?: boolean } | null }): boolean {
  return socket._httpMessage?._headerSent === true
}
