import type { Socket } from 'node:net'

/**
 * Cuts a connection in the middle of an answer so that its other end sees an error. An orderly close would mark the
 * end of the answer where its length is not known: for HTTP/1.0, which most proxies speak to their backends, a cut
 * answer would look whole.
 */
export function resetConnection(socket: Socket): void {
  // Only sockets of TCP can be reset.
  if (typeof socket.resetAndDestroy === 'function') socket.resetAndDestroy()
  else socket.destroy()
}
