import { createHook } from 'node:async_hooks'
import type { Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ask, ready, textOf, typesOf } from '../streams/sse.ts'
import { startEngine, startService, token } from '../support/service.ts'
import { startStreamGate } from '../support/stream-gate.ts'

const CHAT = '/api/agent/chat'
const RUNS = 5
const CLIENTS = 200
/** What works for viewers and waiters; the background has timers of its own. */
const OF_VIEWERS = /\/src\/(streams|http)\/|\/routes\/api\/|\/src\/services\/(read|change-watch)/

/** The timers that are set for viewers, each with its place in the code. */
function watchTimers(t: Test): Map<number, string> {
  const timers = new Map<number, string>()
  const hook = createHook({
    init(id, type) {
      if (type !== 'Timeout') return
      const { stack = '' } = new Error()
      if (OF_VIEWERS.test(stack)) timers.set(id, stack)
    },
    destroy: (id) => void timers.delete(id),
  }).enable()
  t.teardown(() => hook.disable())
  return timers
}

/** The connections of a server that come from now on and are open. */
function watchConnections(t: Test, server: Server): Set<Socket> {
  const open = new Set<Socket>()
  const opened = (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  }
  server.on('connection', opened)
  t.teardown(() => server.off('connection', opened))
  return open
}

type Moment = 'connecting' | 'waiting' | 'reading' | 'end'

/** A client with a connection of its own that goes after a while. @returns what it was in the middle of */
async function visit(url: URL, headers: Record<string, string>, stay: number): Promise<Moment> {
  let moment: Moment = 'connecting'
  const socket = connect(Number(url.port), url.hostname, () => {
    moment = 'waiting'
  })
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(
    `GET ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: close\r\n${lines.join('')}\r\n`,
  )
  socket.on('data', () => {
    moment = 'reading'
  })
  socket.on('end', () => {
    moment = 'end'
  })
  // A reset by the other side is an end as well.
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.on('close', resolve))
  await sleep(stay)
  const left = moment
  socket.destroy()
  await closed
  return left
}

t.test(
  `${CLIENTS} clients that go at any moment leave nothing behind, and all answers are complete`,
  async (t) => {
    const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '20' } })
    const gate = await startStreamGate(t, engine.url, (_read, _answer, through) => through())
    const service = await startService(t, { engine: { ...engine, url: gate.url } })
    await ready(service)
    const { streams, services } = service.app
    const timers = watchTimers(t)

    const message = 'Tell me a story of 9 sentences'
    const starts = Array.from({ length: RUNS }, () => service.call('POST', CHAT, { body: { message } }))
    const runIds = (await Promise.all(starts)).map(({ body }) => body.runId as string)
    const connections = watchConnections(t, service.app.server)
    const visits = fc.sample(
      fc.record({
        run: fc.constantFrom(...runIds),
        arrival: fc.nat(1_500),
        stay: fc.oneof(fc.nat(5), fc.nat(500), fc.integer({ min: 1_000, max: 3_000 })),
        cursor: fc.constantFrom(null, null, null, 0, 1, 2, 60),
      }),
      { numRuns: CLIENTS, seed: 20 },
    )
    const authorization = `Bearer ${await token('alice')}`
    const all = visits.map(async ({ run, arrival, stay, cursor }) => {
      await sleep(arrival)
      const headers = { authorization, ...(cursor === null ? {} : { 'last-event-id': String(cursor) }) }
      return visit(new URL(`${CHAT}/${run}/stream`, service.url), headers, stay)
    })
    const left = Object.groupBy(await Promise.all(all), (moment) => moment)
    const count = (moment: Moment) => left[moment]?.length ?? 0
    t.ok(count('waiting') > 0, `${count('waiting')} went before they had an answer`)
    t.ok(count('reading') > 0, `${count('reading')} in the middle of it`)

    const leftovers = () => ({
      viewers: streams.stats().viewers,
      logs: streams.stats().logs,
      waiters: services.waiters.count(),
      reads: gate.open,
      connections: connections.size,
      timers: [...timers.values()],
    })
    const nothing = { viewers: 0, logs: 0, waiters: 0, reads: 0, connections: 0, timers: [] }
    // Closing takes a moment, and more on a busy machine; what is left behind is there for ever.
    for (let looks = 0; looks < 1_500 && !isDeepStrictEqual(leftovers(), nothing); looks++) await sleep(20)
    t.same(leftovers(), nothing)
    t.ok(streams.stats().reads > 0)

    const polls = await Promise.all(runIds.map((runId) => service.ended(runId)))
    for (const { body } of polls) t.match(body, { status: 'completed', text: polls[0]?.body.text })
    t.ok((polls[0]?.body.text.length ?? 0) > 200)
  },
)

t.test(
  'a run that is cancelled during a tool keeps what was said, and the tool call is closed',
  async (t) => {
    const service = await startService(t)
    await ready(service)
    const stream = await ask(service, '[[tool-stall:60]] Sleep, please')
    const conversationId = stream.headers.get('x-conversation-id') ?? ''
    const runId = stream.headers.get('x-run-id') ?? ''
    await stream.until(({ chunk }) => chunk?.type === 'tool-input-available')
    const cancelled = await service.call('POST', `/api/agent/chat/${runId}/cancel`)
    t.equal(await stream.closed, 'end')
    t.same(typesOf(stream.events).slice(-2), ['abort', '[DONE]'])
    const run = (await service.ended(runId)).body
    t.match(run, { status: 'cancelled', text: textOf(stream.events) })
    t.ok(run.usage.totalTokens > 0, 'usage is kept')
    t.match(cancelled.body, { runId, status: /cancelled|running/ })
    const { body } = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.match(body.data.at(-1), {
      id: stream.events[0]?.chunk.messageId,
      status: 'cancelled',
      parts: [{ type: 'step-start' }, { type: 'tool-sleep', state: 'output-error', errorText: 'cancelled' }],
    })
    const next = await ask(service, 'What is 2 + 3?', { extra: { conversationId } })
    t.equal(await next.closed, 'end')
    t.equal(textOf(next.events), '2 + 3 = 5.', 'the conversation takes the next message')
  },
)
