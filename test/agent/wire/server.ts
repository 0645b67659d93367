import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import type { Test } from 'tap'
import type { AgentSettings, ModelSettings } from '../../../src/agent/settings.ts'
import { settings } from '../turns.ts'
import type { Dialect, Refused, Said, Trouble } from './dialect.ts'

/** How a server answers one call. */
export type Behaviour = (response: ServerResponse, call: Call) => void

export interface Call {
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
}

/** A provider on loopback: its nth call is answered by the nth behaviour, later ones by the last. */
export async function startProvider(t: Test, dialect: Dialect, ...behaviours: Behaviour[]) {
  const calls: Call[] = []
  const wrong: string[] = []
  const server = createServer(async (request, response) => {
    const call = { body: JSON.parse(await readText(request)), headers: request.headers }
    calls.push(call)
    if (!dialect.path.test(request.url ?? '')) wrong.push(`path ${request.url}`)
    if (request.headers[dialect.header.name] !== dialect.header.value) wrong.push('key')
    const behave = behaviours[calls.length - 1] ?? behaviours.at(-1)
    behave?.(response, call)
  })
  // A connection that is reused must not be closed meanwhile, however busy the machine is.
  server.keepAliveTimeout = 600_000
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const version = dialect.name === 'google' ? 'v1beta' : 'v1'
  const model: ModelSettings = {
    provider: dialect.name,
    model: 'some-model',
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${version}`,
    apiKey: `key-${dialect.name}`,
  }
  const own: AgentSettings = { ...settings, maxRetries: 0, models: [model] }
  return { calls, wrong, model, settings: own }
}

export function open(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { 'content-type': 'text/event-stream' })
}

export const says =
  (dialect: Dialect, said: Said): Behaviour =>
  (response) =>
    open(response).end(dialect.events(said).join(''))

export const refuses =
  (dialect: Dialect, trouble: Trouble, headers: Record<string, string> = {}): Behaviour =>
  (response) =>
    refuse(response, { ...dialect.refusal(trouble), headers })

export function refuse(response: ServerResponse, { status, body, headers = {} }: Refused): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}
