import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { IndexedChunk } from '../../src/agent/turn.ts'
import { DONE, frameOf, HELLO } from '../../src/streams/frame.ts'
import type { Chunk, UiVersion } from '../../src/streams/vocabulary.ts'

/** What the tests need of a client package; the three versions differ in everything else. */
export interface Client {
  DefaultChatTransport: new (
    options: object,
  ) => {
    sendMessages(request: object): Promise<ReadableStream<Chunk>>
    reconnectToStream(request: object): Promise<ReadableStream<Chunk> | null>
  }
  readUIMessageStream(options: object): AsyncIterable<{ id: string; parts: Chunk[] }>
}

/** The package with the `useChat` of each version; it brings the `ai` along that its pages run. */
export const REACT: Record<UiVersion, string> = { 5: 'react5', 6: 'react6', 7: '@ai-sdk/react' }

const clientOf = (react: string): Client => createRequire(import.meta.resolve(react))('ai')

export const CLIENTS: Record<UiVersion, Client> = {
  5: clientOf(REACT[5]),
  6: clientOf(REACT[6]),
  7: clientOf(REACT[7]),
}

/** Reads as the package's own chat does: parts, the message that they make, and what went wrong. */
export async function consume(client: Client, stream: ReadableStream<Chunk>) {
  const [forParts, forMessage] = stream.tee()
  const parts: Chunk[] = []
  const errors: unknown[] = []
  const gather = async () => {
    for await (const part of forParts) parts.push(part)
  }
  const build = async () => {
    let message: { id: string; parts: Chunk[] } | undefined
    const onError = (error: unknown) => errors.push(error)
    for await (const state of client.readUIMessageStream({ stream: forMessage, onError })) message = state
    return message
  }
  const [gathered, built] = await Promise.allSettled([gather(), build()])
  const message = built.status === 'fulfilled' ? built.value : undefined
  return { parts, message, errors, thrown: gathered.status === 'rejected' ? gathered.reason : undefined }
}

export const send = (text: string) => ({
  trigger: 'submit-message',
  chatId: 'page',
  messageId: undefined,
  abortSignal: undefined,
  messages: [{ id: 'u', role: 'user', parts: [{ type: 'text', text }] }],
})

export const textOf = (parts: Chunk[]) =>
  parts.map((part) => (part.type === 'text-delta' ? part.delta : '')).join('')
export const typesOf = (parts: Chunk[]) => parts.map(({ type }) => type)

/** What a client reads when a run's records come in the frames of the service; `end` ends the connection. */
export async function readServed(
  t: Test,
  client: Client,
  ui: UiVersion,
  records: IndexedChunk[],
  end = (response: ServerResponse): unknown => response.end(DONE),
) {
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-vercel-ai-ui-message-stream': 'v1' })
    response.write(HELLO)
    for (const record of records) {
      const bytes = frameOf(record).wire[ui]
      if (bytes !== undefined) response.write(bytes)
    }
    end(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return consume(client, await new client.DefaultChatTransport({ api }).sendMessages(send('Hi')))
}
