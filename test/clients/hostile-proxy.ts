import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../support/service.ts'

export interface HostileProxy {
  url: string
  /** What has happened to requests. */
  counts: { requests: number; cut: number; refused: number }
}

/** When a connection is cut: before the service hears of the request, after it has acted, or within its answer. */
const CUTS = ['before', 'after', 'within'] as const

/**
 * A proxy that cuts every third connection, and answers every fifth of the other requests itself, with 429 and 503 in
 * turn. Every request has a connection of its own. It holds back every seventh request for a moment.
 */
export async function startHostileProxy(t: Teardown, target: string): Promise<HostileProxy> {
  const counts = { requests: 0, cut: 0, refused: 0 }
  let passed = 0
  const server = createServer(async (incoming, outgoing) => {
    outgoing.on('error', () => {})
    outgoing.setHeader('connection', 'close')
    const turn = counts.requests++
    const cut = turn % 3 === 2 ? CUTS[counts.cut++ % CUTS.length] : undefined
    if (cut === 'before') return void incoming.socket.destroy()
    if (cut === undefined && passed++ % 5 === 4) return refuse(outgoing, counts.refused++)
    if (turn % 7 === 6) await new Promise((resolve) => setTimeout(resolve, 20))
    forward(target, incoming, outgoing, cut)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, counts }
}

function refuse(outgoing: ServerResponse, index: number): void {
  if (index % 2 === 0) outgoing.writeHead(429, { 'retry-after': '1', 'content-type': 'text/html' })
  else outgoing.writeHead(503, { 'content-type': 'text/html' })
  outgoing.end('<h1>Try again later</h1>')
}

function forward(
  target: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  cut: 'after' | 'within' | undefined,
): void {
  const { method, headers } = incoming
  const onward = request(target + incoming.url, { method, headers, agent: false }, (answer) => {
    if (cut === 'after') {
      incoming.socket.destroy()
      answer.resume()
      return
    }
    outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, connection: 'close' })
    if (cut === undefined) return void answer.pipe(outgoing)
    answer.once('data', (piece: Buffer) => {
      outgoing.write(piece.subarray(0, Math.ceil(piece.length / 2)), () => incoming.socket.destroy())
      answer.resume()
    })
    answer.once('end', () => incoming.socket.destroy())
  })
  onward.on('error', () => incoming.socket.destroy())
  outgoing.on('close', () => onward.destroy())
  incoming.pipe(onward)
}
