import t, { type Test } from 'tap'
import { DEFAULT_SWITCHES } from '../../src/local/engine/switches.ts'
import {
  ask,
  type OpenStream,
  openStream,
  parseEvents,
  ready,
  type StreamEvent,
  textOf,
  typesOf,
} from '../streams/sse.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

/** Some forty words with characters of two to four bytes, and then silence. */
const STALLED = `[[stall-after:46]] ${'Füchslein 🦊 läuft — naïve '.repeat(8)}`
const isDelta = ({ chunk }: StreamEvent) => chunk?.type === 'text-delta'

/** The rest of a stream after a cursor, up to `last` or to its end. */
async function rest(service: Service, id: string, cursor: number | undefined, last?: number) {
  const headers = cursor === undefined ? {} : { 'last-event-id': String(cursor) }
  const stream = await openStream(service, `/api/agent/chat/${id}/stream`, { headers })
  if (last === undefined) await stream.closed
  else if (cursor !== last) await stream.until((event) => event.id === last)
  stream.leave()
  await stream.closed
  stream.events = stream.events.filter(({ id = 0 }) => last === undefined || id <= last)
  return stream
}

/** Every prefix of the bytes, resumed with the id of its last whole frame, makes the same text. */
async function cutEverywhere(
  t: Test,
  whole: string,
  resume: (cursor: number | undefined) => Promise<OpenStream>,
) {
  const bytes = Buffer.from(whole)
  const text = textOf(parseEvents(whole))
  const resumed = new Map<number | undefined, Promise<OpenStream>>()
  const wrong: number[] = []
  for (let length = 0; length <= bytes.length; length++) {
    const before = parseEvents(bytes.subarray(0, length).toString())
    const cursor = before.findLast(({ id }) => id !== undefined)?.id
    if (!resumed.has(cursor)) resumed.set(cursor, resume(cursor))
    const after = await resumed.get(cursor)
    if (textOf([...before, ...(after?.events ?? [])]) !== text) wrong.push(length)
  }
  t.same(wrong, [], `${bytes.length} cuts, ${resumed.size} cursors`)
  t.ok(resumed.size > 40, 'the stream has more than forty chunks')
}

t.test('a stream that was cut', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '30' } })
  const service = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: service.databaseUrl })
  await ready(service, other)
  const stream = await ask(service, STALLED)
  const runId = stream.headers.get('x-run-id') ?? ''
  const conversationId = stream.headers.get('x-conversation-id') ?? ''
  await stream.until(({ id = 0 }) => id >= 45)
  const refusal = async (headers: Record<string, string>, query = '') =>
    (await service.call('GET', `/api/agent/chat/${runId}/stream${query}`, { headers })).body

  t.test('goes on after any byte while the run is live', async (t) => {
    const whole = stream.body()
    const last = parseEvents(whole).at(-1)?.id
    await cutEverywhere(t, whole, (cursor) => rest(service, runId, cursor, last))
    t.equal(service.app.streams.stats().reads, 1, 'all of them share one read of the engine')
  })

  const CURSORS = ['-1', '1000000000', 'abc', '1.5', '', ' ', '01', '1e3', '0x1']
  const badCursors = async (t: Test) => {
    for (const cursor of CURSORS) {
      const bad = { status: 400, code: 'invalid_stream_position' }
      if (cursor.trim() !== '')
        t.match(await refusal({ 'last-event-id': cursor }), bad, `Last-Event-ID "${cursor}"`)
      t.match(await refusal({}, `?startIndex=${cursor}`), bad, `startIndex "${cursor}"`)
    }
  }
  t.test('refuses cursors that it never gave, while the run is live', badCursors)

  t.test(
    'is found by its conversation, under both addresses, by startIndex, and the header wins',
    async (t) => {
      const last = stream.events.at(-1)?.id ?? 0
      for (const path of [runId, conversationId, conversationId.toUpperCase(), `stream/${conversationId}`]) {
        const again = await rest(service, path, last - 3, last)
        t.equal(again.headers.get('x-run-id'), runId)
        t.same(
          again.events.map(({ id }) => id),
          [last - 2, last - 1, last],
          path,
        )
      }
      const address = `/api/agent/chat/${runId}/stream?startIndex=${last - 1}`
      const byIndex = await openStream(service, address)
      t.equal((await byIndex.until(isDelta)).id, last - 1)
      const byHeader = await openStream(service, address, { headers: { 'last-event-id': String(last - 4) } })
      t.equal((await byHeader.until(isDelta)).id, last - 3)
      byIndex.leave()
      byHeader.leave()
    },
  )

  t.test('does not exist for another user', async (t) => {
    for (const id of [runId, conversationId]) {
      const unknown = id.startsWith('run_') ? 'run_unknown' : '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f'
      const foreign = await service.call('GET', `/api/agent/chat/${id}/stream`, { user: 'eve' })
      const missing = await service.call('GET', `/api/agent/chat/${unknown}/stream`, { user: 'eve' })
      t.equal(foreign.status, 404)
      const bare = ({ body }: typeof foreign) => ({ ...body, requestId: '', instance: '' })
      t.same(bare(foreign), bare(missing))
    }
    const odd = await service.call('GET', '/api/agent/chat/something/stream')
    t.match(odd.body, { status: 400, code: 'invalid_request' })
  })

  t.test('is nothing to resume for a chat that is no conversation of the caller', async (t) => {
    const ids = [
      'fDJ3pqDTPAjzzgSu',
      'a chat / of its own?',
      '%00',
      'x'.repeat(10_000),
      '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
      conversationId,
    ]
    for (const id of ids) {
      const path = `/api/agent/chat/stream/${encodeURIComponent(id)}/stream`
      const { status, body } = await service.call('GET', path, { user: 'eve' })
      t.same([status, body], [204, ''], id.slice(0, 40))
    }
    const run = await service.call('GET', `/api/agent/chat/stream/${runId}/stream`, { user: 'eve' })
    t.match(run.body, { status: 404, code: 'run_not_found' })
  })

  t.test('of a cancelled run ends at once, and the stored answer equals the chunks sent', async (t) => {
    const cancelled = await service.call('POST', `/api/agent/chat/${runId}/cancel`)
    t.equal(await stream.closed, 'end')
    t.same(typesOf(stream.events).slice(-2), ['abort', '[DONE]'])
    t.match(cancelled.body, { status: 'cancelled', text: textOf(stream.events) })
    t.ok(cancelled.body.usage.outputTokens > 0, 'what was said is counted')
    const empty = await service.call('GET', `/api/agent/chat/${conversationId}/stream`)
    t.same([empty.status, empty.body], [204, ''])
  })

  t.test('goes on after any byte when the run is over, on another instance too', async (t) => {
    for (const instance of [service, other]) {
      // A second viewer keeps the frames in memory; without it each resume reads the engine.
      const held = await openStream(instance, `/api/agent/chat/${runId}/stream`)
      await held.closed
      t.same(held.events, stream.events, 'the same frames again')
      await cutEverywhere(t, stream.body(), (cursor) => rest(instance, runId, cursor))
    }
  })
  t.test('refuses cursors that it never gave, when the run is over', badCursors)
})

t.test(
  'a run that waits shows nothing until it runs, and its stream ends when it is cancelled first',
  async (t) => {
    const service = await startService(t)
    await ready(service)
    const ahead = await ask(service, '[[stall-after:3]] Hello there, how are you')
    const conversationId = ahead.headers.get('x-conversation-id') ?? ''
    await ahead.until(isDelta)
    const queued = await ask(service, 'And me?', { extra: { conversationId } })
    const next = await ask(service, 'What is 1 + 1?', { extra: { conversationId } })
    const runId = queued.headers.get('x-run-id') ?? ''
    const early = await service.call('GET', `/api/agent/chat/${runId}/stream`, {
      headers: { 'last-event-id': '0' },
    })
    t.match(
      early.body,
      { status: 400, code: 'invalid_stream_position' },
      'nothing exists that could be resumed',
    )
    const before = service.app.streams.stats().reads
    await service.call('POST', `/api/agent/chat/${runId}/cancel`)
    t.equal(await queued.closed, 'end')
    t.same(queued.events, [
      { chunk: { type: 'start', messageMetadata: { conversationId, runId } } },
      { chunk: { type: 'abort', reason: 'cancelled' } },
      {},
    ])
    t.equal(
      service.app.streams.stats().reads,
      before,
      'the engine was not asked for a stream that cannot exist',
    )
    await service.call('POST', `/api/agent/chat/${ahead.headers.get('x-run-id')}/cancel`)
    t.equal(await next.closed, 'end')
    t.equal(textOf(next.events), '1 + 1 = 2.', 'the conversation takes the next message')
  },
)

t.test('the same holds with an engine that keeps streams in Redis', async (t) => {
  const engine = await startEngine(t, {
    switches: { ...DEFAULT_SWITCHES, streams: 'redis' },
    childEnv: { AGENT_OFFLINE_WORD_MS: '10' },
  })
  const service = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: service.databaseUrl })
  await ready(service, other)
  const stream = await ask(service, 'Tell me a story of 8 sentences')
  await stream.until(isDelta)
  const cursor = stream.events.at(-1)?.id
  const runId = stream.headers.get('x-run-id') ?? ''
  stream.leave()
  await stream.closed
  const live = await rest(other, runId, cursor)
  const over = await rest(service, runId, cursor)
  const { body } = await service.call('GET', `/api/agent/chat/${runId}`)
  for (const after of [live, over])
    t.equal(
      textOf([...stream.events.filter(({ id = 0 }) => id <= (cursor ?? 0)), ...after.events]),
      body.text,
    )
  t.match((await service.call('GET', `/api/agent/chat/${runId}/stream?startIndex=5000`)).body, {
    status: 400,
  })
})
