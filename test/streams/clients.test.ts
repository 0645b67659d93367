import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as ai7 from 'ai'
import * as ai5 from 'ai5'
import * as ai6 from 'ai6'
import t, { type Test } from 'tap'
import { DONE, frameOf } from '../../src/streams/frame.ts'
import { type Chunk, UI_VERSIONS, type UiVersion } from '../../src/streams/vocabulary.ts'
import { startEngine, startService, token } from '../support/service.ts'
import { ready } from './sse.ts'

/** What the tests need of a client package; the three versions differ in everything else. */
interface Client {
  DefaultChatTransport: new (
    options: object,
  ) => {
    sendMessages(request: object): Promise<ReadableStream<Chunk>>
    reconnectToStream(request: object): Promise<ReadableStream<Chunk> | null>
  }
  readUIMessageStream(options: object): AsyncIterable<{ id: string; parts: Chunk[] }>
}

const CLIENTS = { 5: ai5, 6: ai6, 7: ai7 } as unknown as Record<UiVersion, Client>

/** Reads as the package's own chat does: parts, the message that they make, and what went wrong. */
async function consume(client: Client, stream: ReadableStream<Chunk>) {
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

const send = (text: string) => ({
  trigger: 'submit-message',
  chatId: 'page',
  messageId: undefined,
  abortSignal: undefined,
  messages: [{ id: 'u', role: 'user', parts: [{ type: 'text', text }] }],
})

const textOf = (parts: Chunk[]) =>
  parts.map((part) => (part.type === 'text-delta' ? part.delta : '')).join('')
const typesOf = (parts: Chunk[]) => parts.map(({ type }) => type)

/** Every part that a version 7 worker may write, and some that no client has ever heard of. */
const RECORDED: Chunk[] = [
  { type: 'start', messageId: 'm1', messageMetadata: { runId: 'run_1', conversationId: 'c1' } },
  { type: 'custom', kind: 'anthropic.message_start' },
  { type: 'start-step' },
  { type: 'reasoning-start', id: 'r' },
  { type: 'reasoning-delta', id: 'r', delta: 'Let me see.' },
  { type: 'reasoning-end', id: 'r', providerMetadata: { any: { signature: 's' } } },
  { type: 'reasoning-file', mediaType: 'image/png', url: 'data:image/png;base64,AA==' },
  { type: 'tool-input-start', toolCallId: 't1', toolName: 'calculate' },
  { type: 'tool-input-delta', toolCallId: 't1', inputTextDelta: '{"expression":"1+1"}' },
  { type: 'tool-input-available', toolCallId: 't1', toolName: 'calculate', input: { expression: '1+1' } },
  { type: 'tool-output-available', toolCallId: 't1', output: { result: 2 } },
  { type: 'tool-input-available', toolCallId: 't2', toolName: 'drop', input: {} },
  { type: 'tool-approval-request', approvalId: 'a2', toolCallId: 't2' },
  { type: 'tool-approval-response', approvalId: 'a2', approved: false },
  { type: 'tool-output-denied', toolCallId: 't2' },
  { type: 'tool-input-available', toolCallId: 't3', toolName: 'fail', input: {} },
  { type: 'tool-output-error', toolCallId: 't3', errorText: 'The tool failed.' },
  { type: 'data-usage', data: { totalTokens: 3 }, transient: true },
  { type: 'data-weather', id: 'w', data: { degrees: 3 } },
  { type: 'source-url', sourceId: 's', url: 'https://example.org', title: 'Example' },
  { type: 'file', mediaType: 'text/plain', url: 'data:text/plain,x' },
  { type: 'steering-message', id: 'x', parts: [] },
  { type: 'of-the-future', anything: true },
  { type: 'text-start', id: 't' },
  { type: 'text-delta', id: 't', delta: 'It is ' },
  { type: 'text-delta', id: 't', delta: '2. 🦊' },
  { type: 'text-end', id: 't' },
  { type: 'message-metadata', messageMetadata: { runId: 'run_1', conversationId: 'c1' } },
  { type: 'finish-step' },
  { type: 'finish', finishReason: 'interrupted' },
]

/** Serves chunks in the frames of the service; `end` decides about the connection. */
async function serve(t: Test, ui: UiVersion, chunks: Chunk[], end: (response: ServerResponse) => void) {
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-vercel-ai-ui-message-stream': 'v1' })
    response.write(': stream\n\n')
    chunks.forEach((chunk, index) => {
      const bytes = frameOf({ index, chunk }).wire[ui]
      if (bytes !== undefined) response.write(bytes)
    })
    end(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

for (const ui of UI_VERSIONS) {
  const client = CLIENTS[ui]

  t.test(`the client of AI SDK ${ui}`, async (t) => {
    t.test('reads every part that it may be shown', async (t) => {
      const api = await serve(t, ui, RECORDED, (response) => response.end(DONE))
      const stream = await new client.DefaultChatTransport({ api }).sendMessages(send('Hi'))
      const { parts, message, thrown, errors } = await consume(client, stream)
      t.same([thrown, errors], [undefined, []])
      t.equal(textOf(parts), 'It is 2. 🦊')
      t.match(
        message?.parts.filter(({ type }) => type.startsWith('tool-')),
        [
          { toolCallId: 't1', state: 'output-available', output: { result: 2 } },
          { toolCallId: 't2', state: ui === 5 ? 'output-error' : 'output-denied' },
          { toolCallId: 't3', state: 'output-error', errorText: 'The tool failed.' },
        ],
      )
      t.match(parts.at(-1), { type: 'finish', finishReason: ui === 7 ? 'interrupted' : 'other' })
      for (const type of ['of-the-future', 'data-usage']) t.notOk(typesOf(parts).includes(type), type)
      t.equal(typesOf(parts).includes('custom'), ui === 7)
      t.ok(typesOf(parts).includes('data-weather'))
    })

    t.test('is told of an error and of an abort, and reports neither as a fault of the stream', async (t) => {
      const begin = RECORDED.slice(0, 1)
      const failed = await serve(t, ui, [...begin, { type: 'error', errorText: 'No.' }], (r) => r.end(DONE))
      const failure = await consume(
        client,
        await new client.DefaultChatTransport({ api: failed }).sendMessages(send('Hi')),
      )
      t.same([failure.thrown, failure.errors.map(String)], [undefined, ['Error: No.']])
      const stopped = await serve(t, ui, [...begin, { type: 'abort', reason: 'cancelled' }], (r) =>
        r.end(DONE),
      )
      const stop = await consume(
        client,
        await new client.DefaultChatTransport({ api: stopped }).sendMessages(send('Hi')),
      )
      t.same([stop.thrown, stop.errors, stop.parts.at(-1)?.type], [undefined, [], 'abort'])
    })

    t.test('reports an error when the connection is destroyed', async (t) => {
      const api = await serve(t, ui, RECORDED.slice(0, -4), (response) =>
        setTimeout(() => response.destroy(), 50),
      )
      const stream = await new client.DefaultChatTransport({ api }).sendMessages(send('Hi'))
      const { parts, thrown } = await consume(client, stream)
      t.match(textOf(parts), /^It is/)
      t.type(thrown, Error, 'a cut answer does not look complete')
    })
  })
}

t.test('the real service and the real clients', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '10' } })
  const service = await startService(t, { engine })
  await ready(service)
  const headers = { authorization: `Bearer ${await token('alice')}` }

  for (const ui of UI_VERSIONS) {
    const client = CLIENTS[ui]
    const api = `${service.url}/api/agent/chat/stream`
    const transport = new client.DefaultChatTransport({
      api: `${api}?ui=${ui}`,
      headers,
      prepareReconnectToStreamRequest: ({ id }: { id: string }) => ({
        api: `${api}/${id}/stream?ui=${ui}`,
        headers,
      }),
    })

    t.test(`AI SDK ${ui} reads a live answer with reasoning and a tool`, async (t) => {
      const { parts, message, thrown, errors } = await consume(
        client,
        await transport.sendMessages(send('Please think: what is 17 * 23?')),
      )
      t.same([thrown, errors], [undefined, []])
      t.equal(textOf(parts), '17 * 23 = 391.')
      t.match(message?.parts, [
        { type: 'step-start' },
        { type: 'reasoning', text: /I was asked/ },
        { type: 'tool-calculate', state: 'output-available', output: { result: 391 } },
        { type: 'step-start' },
        { type: 'text', text: '17 * 23 = 391.' },
      ])
    })

    t.test(`AI SDK ${ui} reads a live failure`, async (t) => {
      const stream = await transport.sendMessages(send('[[fail-after:5]] Tell me a story'))
      const { parts, thrown, errors } = await consume(client, stream)
      const { body } = await service.call(
        'GET',
        `/api/agent/chat/${(parts[0]?.messageMetadata as Chunk | undefined)?.runId}`,
      )
      t.same([thrown, errors.map(String)], [undefined, [`Error: ${body.error}`]])
      t.equal(textOf(parts), body.text)
    })

    t.test(`AI SDK ${ui} reports an error when its token ends in the middle of an answer`, async (t) => {
      const short = { authorization: `Bearer ${await token('alice', {}, '3s')}` }
      const hurried = new client.DefaultChatTransport({ api: `${api}?ui=${ui}`, headers: short })
      const stream = await hurried.sendMessages(send('[[tool-stall:60]] Please think'))
      const { parts, message, thrown } = await consume(client, stream)
      t.type(thrown, Error, 'a cut answer does not look complete')
      t.equal(parts.at(-1)?.type, 'tool-input-available')
      t.match(message?.parts.at(-1), { type: 'tool-sleep', state: 'input-available' })
      const { runId } = (parts[0]?.messageMetadata ?? {}) as { runId?: string }
      await service.call('POST', `/api/agent/chat/${runId}/cancel`)
    })

    t.test(`AI SDK ${ui} reconnects to a live answer, which is then cancelled`, async (t) => {
      const stream = await transport.sendMessages(send('Tell me a story of 20 sentences'))
      const reader = stream.getReader()
      const start = await reader.read()
      const { runId, conversationId } = (start.value?.messageMetadata ?? {}) as Record<string, string>
      await reader.cancel()
      const again = await transport.reconnectToStream({ chatId: conversationId })
      t.ok(again)
      if (again === null) return
      const consumed = consume(client, again)
      const cancelled = await service.call('POST', `/api/agent/chat/${runId}/cancel`)
      const { parts, thrown, errors } = await consumed
      t.same([thrown, errors, parts.at(-1)?.type], [undefined, [], 'abort'])
      t.match(cancelled.body, { status: 'cancelled', text: textOf(parts) })
      t.equal(await transport.reconnectToStream({ chatId: conversationId }), null, 'nothing to resume: 204')
    })
  }
})

t.test('clients whose service drains report an error, and the answer goes on elsewhere', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '30' } })
  const draining = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: draining.databaseUrl })
  await ready(draining, other)
  const headers = { authorization: `Bearer ${await token('alice')}` }
  const begun = UI_VERSIONS.map(async (ui) => {
    const client = CLIENTS[ui]
    const api = (url: string, id = '') => `${url}/api/agent/chat/stream${id}?ui=${ui}`
    const stream = await new client.DefaultChatTransport({ api: api(draining.url), headers }).sendMessages(
      send('Tell me a story of 40 sentences'),
    )
    const [watched, kept] = stream.tee()
    const consumed = consume(client, kept)
    for await (const { type } of watched.values({ preventCancel: true })) if (type === 'text-delta') break
    return { ui, client, api, consumed }
  })
  const clients = await Promise.all(begun)
  await draining.close()
  for (const { ui, client, api, consumed } of clients) {
    const { parts, thrown } = await consumed
    t.type(thrown, Error, `AI SDK ${ui} is told`)
    t.notOk(typesOf(parts).includes('finish'))
    const { conversationId, runId } = (parts[0]?.messageMetadata ?? {}) as Record<string, string>
    const transport = new client.DefaultChatTransport({
      api: api(other.url),
      prepareReconnectToStreamRequest: () => ({ api: api(other.url, `/${conversationId}/stream`), headers }),
    })
    const again = await transport.reconnectToStream({ chatId: conversationId })
    const { body } = await other.ended(runId ?? '')
    t.equal(body.status, 'completed')
    if (again !== null) t.equal(textOf((await consume(client, again)).parts), body.text)
  }
})
