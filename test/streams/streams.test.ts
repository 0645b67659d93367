import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Writable } from 'node:stream'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { fastify } from 'fastify'
import t, { type Test } from 'tap'
import type { IndexedChunk } from '../../src/agent/turn.ts'
import { isFinished } from '../../src/engine/run-status.ts'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'
import { sendStream } from '../../src/http/stream-answer.ts'
import type { LocalEngine } from '../../src/local/engine/engine.ts'
import type { RunProgress } from '../../src/stores/runs.ts'
import { streams } from '../../src/streams/streams.ts'
import type { Viewer } from '../../src/streams/viewer.ts'
import type { ClockSettings } from '../../src/streams/viewer-clock.ts'
import { HELD_TASK, hold } from '../support/held-runs.ts'
import { startProxy } from '../support/proxy.ts'
import { startEngine } from '../support/service.ts'
import { keeping, startStreamGate } from '../support/stream-gate.ts'
import { rawRequest } from './raw-client.ts'
import { parseEvents, typesOf } from './sse.ts'

const DELTA = (index: number, delta = `${index} `) => ({
  index,
  chunk: { type: 'text-delta', id: 't', delta },
})
const chunkAt = (index: number): IndexedChunk =>
  index === 0 ? { index, chunk: { type: 'start', messageId: 'm' } } : DELTA(index)
const finish = (index: number): IndexedChunk => ({ index, chunk: { type: 'finish', finishReason: 'stop' } })
const upTo = (count: number): IndexedChunk[] =>
  [...Array(count - 1).keys()].map(chunkAt).concat(finish(count - 1))

const engine = await startEngine(t, { taskModules: [HELD_TASK], spares: 2 })

/**
 * A run of the engine with these records in its stream, which stays open; the hub that shows it reads over a line
 * that can be cut and a gate, and learns what becomes of the run from its row.
 */
async function held(
  t: Test,
  records: IndexedChunk[] = [],
  options: Partial<ClockSettings> & { engine?: LocalEngine } = {},
) {
  const { engine: at = engine, ...settings } = options
  const run = await hold(at)
  if (records.length > 0) await run.write(records)
  const gate = await startStreamGate(t, at.url, (_read, _answer, pass) => pass())
  const log = { warn() {}, error: (object: object) => console.error(object) }
  const line = await startProxy(t, gate.url)
  const adapter = triggerRunEngine({
    secretKey: at.secretKey,
    apiUrl: line.url,
    callsPerMinute: 0,
    listLagMs: 0,
    log,
  })
  // The SDK is loaded on first use.
  await adapter.ping()
  const row: RunProgress = {
    turnId: 'turn',
    status: 'running',
    cancelRequestedAt: null,
    ahead: null,
    frameCount: null,
    error: null,
  }
  const state = { row: row as RunProgress | undefined }
  const waiting = new Set<() => void>()
  const hub = streams(
    {
      engine: adapter,
      waiters: {
        changed: (_runId, _version, ms, signal) =>
          new Promise((resolve) => {
            const done = () => {
              waiting.delete(done)
              clearTimeout(limit)
              resolve()
            }
            const limit = globalThis.setTimeout(done, ms)
            waiting.add(done)
            signal?.addEventListener('abort', done, { once: true })
          }),
      },
      progress: async () => state.row && { ...state.row },
      settle: async () => {
        const { status = 'running', output } = (await adapter.get(run.id)) ?? {}
        if (isFinished(status)) become({ status, frameCount: output?.chunkCount ?? null })
      },
      log,
    },
    settings,
  )
  const become = (change: Partial<RunProgress>) => {
    if (state.row !== undefined) Object.assign(state.row, change)
    for (const done of waiting) done()
  }
  const view = (from = 0, more: { fresh?: boolean; expiresAt?: number; userId?: string } = {}) =>
    hub.view(
      run.id,
      { from, ui: 6, userId: 'alice', expiresAt: Number.POSITIVE_INFINITY, fresh: false, ...more },
      new AbortController().signal,
    )
  return { run, adapter, gate, line, hub, state, become, view }
}

/** Everything that a viewer gets, and how it ended. */
async function read(viewer: Viewer) {
  let body = ''
  let end = 'end'
  try {
    for await (const bytes of viewer) body += bytes
  } catch {
    end = 'cut'
  }
  const events = parseEvents(body)
  return { end, body, ids: events.map(({ id }) => id), types: typesOf(events) }
}

type Held = Awaited<ReturnType<typeof held>>

/** Waits until no viewer is left and no connection to the engine stays behind. */
const nothingLeft = async (t: Test, { run, gate, hub }: Held) => {
  await hub.close()
  while (gate.open > 0) await setTimeout(5)
  t.same({ ...hub.stats(), reads: 0 }, { viewers: 0, logs: 0, reads: 0 })
  await run.end()
}

t.test(
  'one read of the engine serves all viewers, each from its own position, and ends with the last viewer',
  async (t) => {
    const run = await held(t, upTo(6))
    const viewers = await Promise.all([0, 0, 3, 6].map((from) => run.view(from)))
    const all = viewers.map(read)
    t.match(run.hub.stats(), { viewers: 4, logs: 1, reads: 1 })
    run.become({ status: 'completed', frameCount: 6 })
    const [first, second, third, fourth] = await Promise.all(all)
    t.same(first?.ids, [0, 1, 2, 3, 4, 5, undefined])
    t.same(second, first)
    t.same(third?.ids, [3, 4, 5, undefined])
    t.same(fourth?.types, ['[DONE]'])
    await nothingLeft(t, run)
  },
)

t.test('one user has a bounded number of open streams, and other users have theirs', async (t) => {
  const run = await held(t, upTo(3), { perUser: 2 })
  const [first, second] = await Promise.all([run.view(), run.view(2)])
  await t.rejects(run.view(), { code: 'too_many_streams', details: { retryAfter: 5 } })
  t.throws(() => run.hub.assertOpen('alice'), { code: 'too_many_streams' })
  const ofBob = await run.view(0, { userId: 'bob' })
  const closed = once(first as Viewer, 'close')
  first?.destroy()
  await closed
  run.hub.assertOpen('alice')
  const third = await run.view()
  const all = [second, third, ofBob].map((viewer) => read(viewer as Viewer))
  run.become({ status: 'completed', frameCount: 3 })
  t.same(
    (await Promise.all(all)).map(({ end }) => end),
    ['end', 'end', 'end'],
  )
  await nothingLeft(t, run)
})

t.test(
  'a stream stays open until the run has ended, also when the engine says that the stream is over',
  async (t) => {
    // Ends in silence, repeats what it had, breaks: none of it is the end of the run.
    const records = upTo(9)
    const run = await held(t, records.slice(0, 3))
    const answers: ServerResponse[] = []
    run.gate.keep = async (read, answer, pass) => {
      answers.push(answer)
      if (read === 2) await run.run.write([...records.slice(0, 3), ...records.slice(1, 5)])
      if (read === 3) answer.destroy()
      else pass()
    }
    const viewer = await run.view()
    const reader = read(viewer)
    while (viewer.next < 3) await setImmediate()
    answers[0]?.end()
    while (viewer.next < 5) await setImmediate()
    answers[1]?.destroy()
    while (run.hub.stats().reads < 4) await setTimeout(5)
    await run.run.write(records.slice(5))
    run.become({ status: 'completed', frameCount: 9 })
    t.same((await reader).ids, [0, 1, 2, 3, 4, 5, 6, 7, 8, undefined])
    t.equal(run.hub.stats().reads, 4)
    await nothingLeft(t, run)
  },
)

t.test('a gap is never shown', async (t) => {
  t.test('one that a second read fills is not noticed', async (t) => {
    const run = await held(t, upTo(6))
    run.gate.keep = (read, _answer, pass) => pass(read === 1 ? keeping((index) => index !== 2) : undefined)
    const reader = read(await run.view())
    run.become({ status: 'completed', frameCount: 6 })
    t.same((await reader).ids, [0, 1, 2, 3, 4, 5, undefined])
    t.equal(run.hub.stats().reads, 2)
    await nothingLeft(t, run)
  })

  t.test('one that stays cuts the viewers, and those who come then get 410', async (t) => {
    const records = upTo(6)
    const run = await held(t, [...records.slice(0, 2), ...records.slice(3)])
    const reader = await read(await run.view())
    t.same([reader.end, reader.ids], ['cut', [0, 1]])
    await t.rejects(run.view(2), { code: 'stream_expired' })
    await nothingLeft(t, run)
  })

  t.test('a stream that has lost its beginning is 410, for a run that goes on too', async (t) => {
    const forgetful = await startEngine(t, {
      taskModules: [HELD_TASK],
      switches: { streams: 'redis', keptWrites: 5 },
    })
    for (const status of ['running', 'completed'] as const) {
      const run = await held(t, [], { engine: forgetful })
      for (const record of upTo(9)) await run.run.write([record])
      run.become({ status, frameCount: status === 'completed' ? 9 : null })
      await t.rejects(run.view(), { code: 'stream_expired' })
      await t.rejects(run.view(6), { code: 'stream_expired' })
      await nothingLeft(t, run)
    }
  })

  t.test(
    'the end of a finished run that the engine does not give is 410, an engine that is away 503',
    async (t) => {
      const [expired, away] = [await held(t), await held(t)]
      await away.line.cut()
      const everybody = ({ become, view }: Held, code: string) => {
        become({ status: 'completed', frameCount: 9 })
        return [0, 5, 9].map((from) => t.rejects(view(from), { code }, `${code} from ${from} on`))
      }
      await Promise.all([...everybody(expired, 'stream_expired'), ...everybody(away, 'engine_unavailable')])
      await nothingLeft(t, expired)
      await nothingLeft(t, away)
    },
  )
})

t.test('a position beyond the end is refused once it is known what exists', async (t) => {
  const live = await held(t, upTo(6).slice(0, 4))
  await t.rejects(live.view(5), { code: 'invalid_stream_position', details: { detail: /4 frames/ } })
  const atTheEnd = await live.view(4)
  atTheEnd.destroy()
  await nothingLeft(t, live)

  const late = await held(t)
  const seen = late.view(5)
  for (const record of upTo(6)) {
    await setTimeout(30)
    await late.run.write([record])
  }
  const reader = read(await seen)
  late.become({ status: 'completed', frameCount: 6 })
  t.same((await reader).ids, [5, undefined], 'a slow engine is waited for')
  await nothingLeft(t, late)
})

t.test('a viewer is refused only after the frames that are on their way have arrived', async (t) => {
  t.test('the end of a run that the engine is slow to give', async (t) => {
    const run = await held(t, upTo(6))
    run.become({ status: 'completed', frameCount: 6 })
    run.gate.keep = (_read, _answer, pass) => void globalThis.setTimeout(pass, 2_500)
    t.same((await read(await run.view())).ids, [0, 1, 2, 3, 4, 5, undefined])
    await nothingLeft(t, run)
  })

  t.test('what a read that broke has left out', async (t) => {
    const run = await held(t, upTo(6))
    const broken = Promise.withResolvers<void>()
    run.gate.keep = async (number, answer, pass) => {
      if (number === 1) {
        pass(keeping((index) => index < 3))
        await broken.promise
        answer.destroy()
      } else globalThis.setTimeout(pass, 1_000)
    }
    const first = await run.view()
    const whole = read(first)
    while (first.next < 3) await setImmediate()
    broken.resolve()
    while (run.gate.open > 0) await setImmediate()
    const resumed = read(await run.view(5))
    run.become({ status: 'completed', frameCount: 6 })
    t.same((await resumed).ids, [5, undefined])
    t.same((await whole).ids, [0, 1, 2, 3, 4, 5, undefined])
    await nothingLeft(t, run)
  })

  t.test('that a run has begun which another instance has shown already', async (t) => {
    const run = await held(t, upTo(6))
    run.become({ status: 'queued' })
    const first = await run.view()
    if (run.state.row) run.state.row.status = 'running'
    const resumed = run.view(2)
    run.become({})
    const reader = read(await resumed)
    run.become({ status: 'completed', frameCount: 6 })
    t.same((await reader).ids, [2, 3, 4, 5, undefined])
    first.destroy()
    await nothingLeft(t, run)
  })
})

t.test('runs that end otherwise end their streams at once, with what clients understand', async (t) => {
  const said = upTo(6).slice(0, 4)
  const abort = { index: 4, chunk: { type: 'abort', reason: 'cancelled' } }
  const error = { index: 4, chunk: { type: 'error', errorText: 'No.' } }
  const table: [string, IndexedChunk[], Partial<RunProgress>, string][] = [
    ['cancelled by the worker', [...said, abort], { status: 'cancelled', frameCount: 5 }, 'abort [DONE]'],
    ['killed', said, { status: 'cancelled', frameCount: 4 }, 'text-delta abort [DONE]'],
    ['failed in the agent', [...said, error], { status: 'failed', frameCount: 5 }, 'error [DONE]'],
    ['crashed', said, { status: 'failed', frameCount: 4, error: 'Oh.' }, 'text-delta error [DONE]'],
    ['lost, uncounted', said, { status: 'failed', error: 'Oh.' }, 'text-delta error [DONE]'],
    [
      'stopped for its duration',
      [...said, abort],
      { status: 'failed', frameCount: 5, error: 'Oh.' },
      'abort error [DONE]',
    ],
    ['cancelled after its last word', upTo(6), { status: 'cancelled', frameCount: 6 }, 'finish abort [DONE]'],
  ]
  for (const [name, records, end, types] of table) {
    const run = await held(t, records)
    const reader = read(await run.view())
    run.become(end)
    const { types: seen, end: how } = await reader
    t.equal(how, 'end', name)
    t.ok(seen.join(' ').endsWith(types), `${name}: ${seen.join(' ')}`)
    await nothingLeft(t, run)
  }

  const queued = await held(t)
  queued.become({ status: 'queued' })
  const waiting = read(await queued.view())
  queued.become({ status: 'cancelled', frameCount: 0 })
  t.same((await waiting).types, ['abort', '[DONE]'])
  t.equal(queued.hub.stats().reads, 0, 'a run that never ran has no stream')
  await nothingLeft(t, queued)
})

t.test(
  'frames that a worker writes after the end of its run was stored are shown to no viewer',
  async (t) => {
    const said = upTo(6).slice(0, 4)
    const late = [DELTA(4), { index: 5, chunk: { type: 'abort', reason: 'cancelled' } }]
    const end = { status: 'cancelled', frameCount: 4 } as const
    const ended = [0, 1, 2, 3, undefined, undefined]

    t.test('neither to those who look on', async (t) => {
      const run = await held(t, said.slice(0, 3))
      const reader = read(await run.view())
      await run.run.executing()
      await run.adapter.cancel(run.run.id)
      run.become(end)
      // Its process is still winding up; the instance that settled it has seen one frame more than this one.
      await run.run.write([...said.slice(3), ...late])
      const { ids, types } = await reader
      t.same([ids, types.slice(-2)], [ended, ['abort', '[DONE]']])
      await nothingLeft(t, run)
    })

    t.test('nor to later viewers, also when an earlier viewer has already seen them', async (t) => {
      const run = await held(t, [...said, ...late])
      const first = await run.view()
      const early = read(first)
      while (first.next < 6) await setImmediate()
      run.become(end)
      for (let times = 0; times < 2; times++) {
        const { ids, types } = await read(await run.view())
        t.same([ids, types.slice(-2)], [ended, ['abort', '[DONE]']])
      }
      t.same((await early).ids.slice(0, 6), [0, 1, 2, 3, 4, 5])
      await nothingLeft(t, run)
    })
  },
)

t.test(
  'the end of a run whose instance has died is stored by the instance that reads its last chunk',
  async (t) => {
    const run = await held(t, upTo(5))
    const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    const uiMessage = { id: 'a', role: 'assistant', parts: [] }
    await run.run.end({ output: { uiMessage, usage, finishReason: 'stop', chunkCount: 5 } })
    t.same((await read(await run.view())).ids, [0, 1, 2, 3, 4, undefined])
    await nothingLeft(t, run)
  },
)

t.test('a run without a row ends with its stream: the database was away when it was started', async (t) => {
  const run = await held(t, upTo(5))
  run.state.row = undefined
  t.same((await read(await run.view())).ids, [0, 1, 2, 3, 4, undefined])
  await nothingLeft(t, run)
})

t.test(
  'a log keeps 8 MiB: the fastest viewer goes on, one that lags behind is cut and comes back',
  async (t) => {
    const big = 'x'.repeat(400_000)
    const run = await held(t, [chunkAt(0)])
    const idle = await run.view()
    const fast = read(await run.view())
    for (let index = 1; index < 60; index++) await run.run.write([DELTA(index, big)])
    await run.run.write([finish(60)])
    if (!idle.closed) await once(idle, 'close')
    t.ok(idle.destroyed)
    const resumed = read(await run.view(1))
    t.equal(run.hub.stats().logs, 1)
    run.become({ status: 'completed', frameCount: 61 })
    t.equal((await fast).ids.length, 62)
    t.equal((await resumed).ids.length, 61)
    await nothingLeft(t, run)
  },
)

t.test('a viewer that holds up its finished run is not cut for that', async (t) => {
  const big = 'x'.repeat(500_000)
  const run = await held(t, [chunkAt(0)])
  for (let index = 1; index < 30; index++) await run.run.write([DELTA(index, big)])
  await run.run.write([finish(30)])
  run.become({ status: 'completed', frameCount: 31 })
  const viewer = await run.view()
  // Longer than a finished stream may be silent.
  await setTimeout(5_000)
  t.match(await read(viewer), { end: 'end', ids: { length: 32 } })
  t.equal(run.hub.stats().reads, 1)
  await nothingLeft(t, run)
})

t.test('one timer looks after all connections', async (t) => {
  const settings = { tickMs: 10, heartbeatMs: 20, stallMs: 100 }

  t.test('it keeps silent ones alive', async (t) => {
    const run = await held(t, [chunkAt(0)], settings)
    const viewer = await run.view()
    let body = ''
    for await (const bytes of viewer) {
      body += bytes
      if (/\}\n\n(: ping\n\n){3,}$/.test(body)) break
    }
    t.match(body, /^: stream\n\n(: ping\n\n)*id: 0\ndata: \{.*\}\n\n(: ping\n\n)+$/)
    await nothingLeft(t, run)
  })

  t.test('it cuts those whose token has ended', async (t) => {
    const run = await held(t, [chunkAt(0)], settings)
    const other = await run.view()
    const { end, ids } = await read(await run.view(0, { expiresAt: Date.now() + 100 }))
    t.same([end, ids, other.destroyed], ['cut', [0], false])
    await nothingLeft(t, run)
  })

  t.test('it cuts those that do not read a few words either', async (t) => {
    const run = await held(t, [chunkAt(0)], settings)
    const socket = new Writable({ highWaterMark: 1, write() {} })
    const viewer = (await run.view()).on('error', () => {})
    viewer.pipe(socket)
    const closed = once(viewer, 'close')
    for (let index = 1; index < 4 && !viewer.closed; index++) await run.run.write([DELTA(index)])
    await closed
    await nothingLeft(t, run)
  })

  t.test('it cuts those that do not read, with a reset', async (t) => {
    const chunks = [chunkAt(0), ...Array.from({ length: 15 }, (_, at) => DELTA(at + 1, 'x'.repeat(500_000)))]
    const run = await held(t, chunks, settings)
    const app = fastify()
    app.get('/', async (_request, reply) => sendStream(reply, await run.view(), { runId: run.run.id }))
    t.teardown(() => app.close())
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const connected = once(app.server, 'connection')
    const client = await rawRequest(url, { path: '/' })
    client.socket.pause()
    const [connection] = await connected
    await once(connection, 'close')
    t.same(run.hub.stats().viewers, 0)
    client.socket.resume()
    t.equal(await client.closed, 'ECONNRESET')
    await nothingLeft(t, run)
  })
})

t.test('streams that drain cut all viewers and refuse new ones', async (t) => {
  const run = await held(t, upTo(6).slice(0, 3))
  const viewers = await Promise.all([run.view(), run.view(2), run.view(0, { fresh: true })])
  const all = viewers.map(read)
  run.hub.drain()
  t.same(
    (await Promise.all(all)).map(({ end }) => end),
    ['cut', 'cut', 'cut'],
  )
  await t.rejects(run.view(), { code: 'shutting_down' })
  await nothingLeft(t, run)
})

t.test('a viewer that is cut before it has begun is refused, and can tell why', async (t) => {
  const draining = await held(t)
  const refusals = [0, 3].map((from) => t.rejects(draining.view(from), { code: 'shutting_down' }))
  draining.hub.drain()
  await Promise.all(refusals)
  await nothingLeft(t, draining)

  const expired = await held(t, [], { tickMs: 5 })
  await t.rejects(expired.view(0, { expiresAt: Date.now() }), { code: 'engine_unavailable' })
  await nothingLeft(t, expired)
})

t.test(
  'who has just started a run gets the first bytes, and with them the headers, even in a drain',
  async (t) => {
    const run = await held(t, upTo(6).slice(0, 3))
    const before = await run.view(0, { fresh: true })
    run.hub.drain()
    const after = await run.view(0, { fresh: true })
    for (const viewer of [before, after]) {
      const { end, body } = await read(viewer)
      t.same([end, body], ['cut', ': stream\n\n'])
    }
    await nothingLeft(t, run)
  },
)
