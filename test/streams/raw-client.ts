import { connect, type Socket } from 'node:net'
import { token } from '../support/service.ts'

/** A client that speaks bytes, to see how a connection really ends. */
export interface RawClient {
  socket: Socket
  /** What has come so far, headers included. */
  body(): string
  /** Resolves once the text has come; rejects when the connection ends before. */
  until(text: string): Promise<void>
  /** How the connection ended: `end` after a FIN, else the code of the error, `ECONNRESET` after a reset. */
  closed: Promise<string>
}

export interface RawRequest {
  method?: 'GET' | 'POST'
  path: string
  /** Sent as JSON. */
  body?: unknown
  /** 1.0, the default here, knows no chunks: its answers end with their connection. */
  version?: '1.0' | '1.1'
  authorization?: string
}

/** Sends one request over a connection of its own. */
export async function rawRequest(
  url: string,
  { method = 'GET', path, body, version = '1.0', authorization }: RawRequest,
): Promise<RawClient> {
  const { hostname, port, host } = new URL(url)
  const socket = connect(Number(port), hostname)
  const content = body === undefined ? '' : JSON.stringify(body)
  const lines = [
    `${method} ${path} HTTP/${version}`,
    `host: ${host}`,
    `authorization: ${authorization ?? `Bearer ${await token('alice')}`}`,
    ...(body === undefined
      ? []
      : ['content-type: application/json', `content-length: ${Buffer.byteLength(content)}`]),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n${content}`)
  let text = ''
  socket.setEncoding('utf8').on('data', (data) => {
    text += data
  })
  const closed = new Promise<string>((resolve) => {
    let ending = 'closed'
    socket.on('end', () => {
      ending = 'end'
    })
    socket.on('error', ({ code = 'error' }: NodeJS.ErrnoException) => {
      ending = code
    })
    socket.on('close', () => resolve(ending))
  })
  return {
    socket,
    body: () => text,
    closed,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (text.includes(wanted)) resolve()
        }
        socket.on('data', look)
        void closed.then((ending) => reject(new Error(`${ending} before ${wanted}: ${text}`)))
        look()
      }),
  }
}
