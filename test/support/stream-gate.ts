import { once } from 'node:events'
import { createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from './service.ts'

/** What becomes of a read of a stream: called with its number, the answer and what lets it through. */
export type Gatekeeper = (read: number, answer: ServerResponse, pass: () => void) => void

export interface StreamGate {
  url: string
  /** Reads of streams so far. */
  readonly reads: number
  /** Of these, the ones that are open. */
  readonly open: number
  keep: Gatekeeper
}

/** Stands before an engine and lets everything through but the reads of streams: those are the gatekeeper's. */
export async function startStreamGate(t: Teardown, engineUrl: string, keep: Gatekeeper): Promise<StreamGate> {
  const gate = { url: '', reads: 0, open: 0, keep }
  const server = createServer((incoming, answer) => {
    const pass = () => {
      const { method, headers } = incoming
      const onward = request(new URL(incoming.url ?? '', engineUrl), { method, headers, agent: false })
      onward.on('response', (response) => {
        answer.writeHead(response.statusCode ?? 500, response.headers)
        answer.flushHeaders()
        response.pipe(answer)
        response.on('error', () => answer.destroy())
      })
      onward.on('error', () => answer.destroy())
      answer.on('close', () => onward.destroy())
      incoming.pipe(onward)
    }
    const isRead = incoming.method === 'GET' && incoming.url?.startsWith('/realtime/v1/streams/')
    if (!isRead) return pass()
    gate.open++
    answer.on('close', () => gate.open--)
    gate.keep(++gate.reads, answer, pass)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  gate.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return gate
}
