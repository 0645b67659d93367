import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'

/**
 * Most bytes of a body that are read and dropped. Clients and proxies send fewer bytes before they read an answer.
 * Node's time-out for requests bounds the time.
 */
const MAX_DROPPED_BYTES = 64 * 1024 * 1024

const DROPPING = Symbol('the answer is out, the rest of the body is being dropped')

/** Whether a request has a body that was not read to its end. */
export function hasUnreadBody(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = raw.headers
  if (encoding === undefined && (length === undefined || length === '0')) return false
  return !raw.readableEnded && !raw.destroyed
}

/**
 * An answer to a request whose body has not been read. The answer is sent at once and ends when the body has ended.
 * Many clients and proxies send the whole body before they read. If the connection were closed while such a client
 * still sends, it would be reset, and the client would never see the answer.
 */
export function beforeRestOfBody(raw: IncomingMessage, answer: string | Buffer): Readable {
  const { socket } = raw
  const stream = new Readable({ read() {} })
  stream.push(answer)
  let dropped = 0
  const drop = (piece: Buffer) => {
    dropped += piece.length
    if (dropped > MAX_DROPPED_BYTES) socket.destroy()
  }
  const end = () => {
    raw.off('data', drop)
    Reflect.deleteProperty(socket, DROPPING)
    stream.push(null)
  }
  Object.assign(socket, { [DROPPING]: true })
  raw.once('end', end).once('error', end).once('close', end).on('data', drop).resume()
  return stream
}

/** Whether the answer on a connection is complete, and only the rest of its request is missing. */
export const isDroppingBody = (socket: Socket): boolean => Object.hasOwn(socket, DROPPING)
