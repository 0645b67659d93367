import t, { type Test } from 'tap'
import { AGENT_STREAM } from '../../src/agent/turn.ts'
import type { Switches } from '../../src/local/engine/switches.ts'
import { ask, openStream, ready, type StreamEvent, textOf } from '../streams/sse.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

/** Two instances beside an engine that keeps streams as Trigger.dev does in Redis. */
async function beside(t: Test, switches: Partial<Switches>, wordMs = 10) {
  const engine = await startEngine(t, {
    switches: { streams: 'redis', ...switches },
    childEnv: { AGENT_OFFLINE_WORD_MS: String(wordMs) },
  })
  const service = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: service.databaseUrl })
  await ready(service, other)
  return { engine, service, other }
}

const runOf = ({ headers }: { headers: Headers }) => headers.get('x-run-id') ?? ''
/** What stands behind a cursor, `[DONE]` included: it has no id. */
const after = (events: StreamEvent[], cursor: number) =>
  events.filter(({ id = Number.POSITIVE_INFINITY }) => id > cursor)

/** Resumes a stream at every position: the answer is the rest, frame for frame, or 410. @returns the number of each */
async function resumeAnywhere(t: Test, services: Service[], runId: string, whole: StreamEvent[]) {
  const counts = { rest: 0, expired: 0 }
  const cursors = [-1, ...whole.flatMap(({ id }) => (id === undefined ? [] : [id]))]
  for (const service of services) {
    const resumed = cursors.map(async (cursor) => {
      const headers = cursor < 0 ? {} : { 'last-event-id': String(cursor) }
      const stream = await openStream(service, `/api/agent/chat/${runId}/stream`, { headers })
      await stream.closed
      if (stream.status === 410) {
        t.match(JSON.parse(stream.body()), { code: 'stream_expired' })
        counts.expired++
        return
      }
      t.equal(stream.status, 200)
      t.same(stream.events, after(whole, cursor), `behind ${cursor}`)
      counts.rest++
    })
    await Promise.all(resumed)
  }
  return counts
}

t.test('a stream that has lost its beginning', async (t) => {
  const { service, other } = await beside(t, { keptWrites: 15 })
  const stream = await ask(service, 'Tell me a story of 20 sentences')
  const runId = runOf(stream)
  await stream.until(({ id = 0 }) => id >= 40)

  t.test('is 410 while the run goes on for those who need what is gone', async (t) => {
    for (const headers of [{}, { 'last-event-id': '2' }, { 'last-event-id': '39' }]) {
      const late = await other.call('GET', `/api/agent/chat/${runId}/stream`, { headers })
      t.match(late.body, { status: 410, code: 'stream_expired' }, JSON.stringify(headers))
    }
  })

  t.test('goes on for those who look on, and for those who come to them', async (t) => {
    const late = await openStream(service, `/api/agent/chat/${runId}/stream`)
    t.same(await Promise.all([stream.closed, late.closed]), ['end', 'end'])
    t.same(late.events, stream.events)
    t.equal(textOf(stream.events), (await service.ended(runId)).body.text)
    t.same(
      stream.events.flatMap(({ id }) => id ?? []),
      stream.events.flatMap(({ id }) => id ?? []).toSorted((a, b) => a - b),
    )
  })

  t.test('is 410 for every caller when the run is over, and the poll has the answer', async (t) => {
    const counts = await resumeAnywhere(t, [service, other], runId, stream.events)
    t.equal(counts.rest, 0)
    t.ok(counts.expired > 100)
    t.match((await other.ended(runId)).body, { status: 'completed', text: textOf(stream.events) })
  })
})

t.test('a stream whose readers are sent away by silence is read anew', async (t) => {
  const { service, other } = await beside(t, { silenceSeconds: 0.2 })
  const stream = await ask(service, '[[tool-stall:2]] Please think')
  const runId = runOf(stream)
  await stream.until(({ chunk }) => chunk?.type === 'tool-input-available')
  const joined = await openStream(other, `/api/agent/chat/${runId}/stream`)
  t.same(await Promise.all([stream.closed, joined.closed]), ['end', 'end'])
  t.same(joined.events, stream.events)
  t.equal(textOf(stream.events), (await service.ended(runId)).body.text)
  t.ok(service.app.streams.stats().reads > 3)
  t.same((await resumeAnywhere(t, [service, other], runId, stream.events)).expired, 0, 'nothing is lost')
})

t.test('a stream with records that repeat, and with ids that several of them share', async (t) => {
  const { engine, service, other } = await beside(t, { silenceSeconds: 0.2 })
  const stream = await ask(service, '[[stall-hard:3]] Tell me a story')
  const runId = runOf(stream)
  await stream.until(() => textOf(stream.events).trim().split(' ').length === 3)
  const { id: last = 0, chunk } = stream.events.at(-1) ?? {}
  const address = `${engine.url}/realtime/v1/streams/${runId}/`
  const authorization = `Bearer ${engine.secretKey}`
  const [repeated, ...more] = [chunk.delta, 'one ', 'two ', 'three '].map((delta, n) => ({
    index: last + n,
    chunk: { ...chunk, delta },
  }))
  // One write of a writer that has lost its connection.
  const lines = [repeated, ...more].map((record) => `${JSON.stringify(record)}\n`).join('')
  await fetch(`${address}self/${AGENT_STREAM}`, { method: 'POST', headers: { authorization }, body: lines })
  await stream.until(({ id = 0 }) => id === last + 3)
  const raw = await fetch(address + AGENT_STREAM, { headers: { authorization } })
  const ids = [...(await raw.text()).matchAll(/^id: (.*)$/gm)].map(([, id]) => id)
  t.equal(new Set(ids).size, ids.length - 3, 'the engine has four records under one id')

  const cancelled = await service.call('POST', `/api/agent/chat/${runId}/cancel`)
  t.equal(await stream.closed, 'end')
  t.match(textOf(stream.events), /one two three $/)
  t.match((await service.ended(runId)).body, { status: 'cancelled', text: textOf(stream.events) })
  t.equal(cancelled.status, 200)
  t.same((await resumeAnywhere(t, [service, other], runId, stream.events)).expired, 0, 'nothing is lost')
})

t.test('a run whose worker dies keeps its partial answer, also when its stream goes silent', async (t) => {
  const { service } = await beside(t, { silenceSeconds: 0.2 })
  const stream = await ask(service, '[[crash:12]] Tell me a story')
  t.equal(await stream.closed, 'end')
  const run = await service.ended(runOf(stream))
  t.match(run.body, { status: 'failed', errorCode: 'crashed', text: textOf(stream.events) })
  t.ok(run.body.text.split(' ').length >= 11)
  t.equal(run.body.truncated, undefined)
})
