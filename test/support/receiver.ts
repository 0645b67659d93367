import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import type { Teardown } from './service.ts'

export interface Received {
  path: string
  headers: Record<string, string>
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: the tests read fields of bodies without a type
  body: any
}

export interface Receiver {
  url: string
  origin: string
  server: Server
  /** All requests so far. */
  received: Received[]
  /** Resolves with the requests as soon as `isEnough` says so. */
  until(isEnough: (received: Received[]) => boolean): Promise<Received[]>
  /** Answers requests from now on; 204 by default. */
  answer(handler: (request: Received, response: ServerResponse) => void): void
}

/** A secret of Standard Webhooks for tests. */
export const secretOf = (name: string) => `whsec_${Buffer.from(name.padEnd(32, '.')).toString('base64')}`

/** A server on 127.0.0.1 that keeps the webhooks that it gets. */
export async function startReceiver(t: Teardown, port = 0): Promise<Receiver> {
  const received: Received[] = []
  const watchers = new Set<() => void>()
  let answer = (_request: Received, response: ServerResponse): void => void response.writeHead(204).end()
  const server = createServer(async (request: IncomingMessage, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece)
    const text = Buffer.concat(pieces).toString()
    const one = {
      path: request.url ?? '',
      headers: request.headers as Record<string, string>,
      text,
      body: JSON.parse(text),
    }
    received.push(one)
    answer(one, response)
    for (const check of watchers) check()
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `${origin}/hook`,
    origin,
    server,
    received,
    until(isEnough) {
      return new Promise((resolve) => {
        const check = () => {
          if (!isEnough(received)) return
          watchers.delete(check)
          resolve(received)
        }
        watchers.add(check)
        check()
      })
    },
    answer(handler) {
      answer = handler
    },
  }
}

/** Verifies a webhook as its receiver does, with the reference library. @throws when the signature is wrong */
export const verified = ({ text, headers }: Received, secret: string) =>
  new Webhook(secret).verify(text, headers)

/** Settings of a service that may send webhooks to this machine. */
export function webhookSettings(
  endpoints: Array<{ name: string; url: string; secrets?: string[] } & Record<string, unknown>>,
  origins: string[] = [],
): Record<string, string> {
  return {
    WEBHOOK_ENDPOINTS: JSON.stringify(
      endpoints.map((endpoint) => ({ secrets: [secretOf(endpoint.name)], ...endpoint })),
    ),
    WEBHOOK_ALLOWED_ADDRESSES: '127.0.0.1',
    ...(origins.length === 0
      ? {}
      : { WEBHOOK_ALLOWED_ORIGINS: origins.join(), WEBHOOK_SECRETS: secretOf('starts') }),
  }
}
