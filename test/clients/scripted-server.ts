import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../support/service.ts'

export type Step = (request: IncomingMessage, response: ServerResponse) => void

/** A server that answers each request with the next step; the last step answers all further ones. */
export async function startScriptedServer(t: Teardown, ...steps: Step[]) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    const step = steps[Math.min(requests.length, steps.length) - 1]
    request.resume().on('end', () => step?.(request, response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

export const json =
  (status: number, body: object, headers: Record<string, string> = {}): Step =>
  (_, response) => {
    const type = status < 400 ? 'application/json' : 'application/problem+json'
    response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify(body))
  }

export const problem = (status: number, code: string, members: object = {}): Step =>
  json(status, { status, code, title: code, detail: `${code}.`, retryable: status > 428, ...members })

export const cut: Step = (request) => void request.socket.destroy()
export const silence: Step = () => {}
export const html =
  (status: number): Step =>
  (_, response) =>
    void response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Gateway</h1>')
