import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { answerJson, type HttpEngine, httpEngine, START, TURN } from './http-engine.ts'

/** Longer than one attempt of any call but a start. */
const SLOW_MS = 5_000

/** Every call of the engine that has a deadline; each of them fails. */
async function askEverything({ engine }: HttpEngine): Promise<string[]> {
  const list = async () => {
    for await (const _ of engine.list({ tag: 't' }));
  }
  const calls = [
    ...Array.from({ length: 4 }, () => engine.start(TURN, { ...START, deadlineMs: 1_000 })),
    engine.ping(500),
    engine.get('run_a'),
    engine.cancel('run_a'),
    list(),
  ]
  const outcomes = await Promise.all(
    calls.map((call) =>
      call.then(
        () => 'answered',
        (error) => error.code,
      ),
    ),
  )
  return [...new Set(outcomes)]
}

const silences: Record<string, (response: ServerResponse) => void> = {
  'never answers': () => {},
  'sends half a body': (response) => {
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      .write('{"data":[')
  },
  'sends a body without an end, little by little': (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => response.write(' '), 100)
    response.on('close', () => clearInterval(timer))
  },
}

test('an engine that hangs leaves no connection behind the deadline of a call', async (t) => {
  await Promise.all(
    Object.entries(silences).map(async ([name, answer]) => {
      const hanging = await httpEngine(t, (_request, response) => answer(response))
      t.strictSame(await askEverything(hanging), ['engine_unavailable'], name)
      t.ok(hanging.requests.length >= 8)
      // Undici itself would keep them for five minutes: longer than this test may take.
      while (hanging.open() > 0) await hanging.closed()
      t.equal(hanging.open(), 0, name)
    }),
  )
})

test('an engine that takes five seconds for a start is asked once', async (t) => {
  const { engine, requests } = await httpEngine(t, async (_request, response) => {
    await sleep(SLOW_MS)
    answerJson(response, { id: 'run_a' })
  })
  t.equal(await engine.start(TURN, START), 'run_a')
  t.equal(requests.length, 1)
})

test('streams and long polls may be silent for longer than a call may take', async (t) => {
  const { engine } = await httpEngine(t, async (_request, response, path) => {
    if (path.includes('/streams/')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      await sleep(SLOW_MS)
      response.end('data: {"index":0,"chunk":{"type":"start"}}\n\n')
      return
    }
    await sleep(SLOW_MS)
    const value = { friendlyId: 'run_a', status: 'PENDING', createdAt: '2026-11-22T09:16:00.275' }
    answerJson(response, [{ key: 'a', value, headers: { operation: 'insert' } }], 200, {
      'electric-handle': 'h',
      'electric-offset': '0_0',
      'electric-up-to-date': '',
      'electric-schema': '{}',
    })
  })
  const { signal } = new AbortController()
  const first = async <T>(items: AsyncIterable<T>) => {
    for await (const item of items) return item
  }
  const [chunk, run] = await Promise.all([
    first(engine.chunks('run_a', signal)),
    first(engine.changes('t', signal)),
  ])
  t.match(chunk, { index: 0 })
  t.match(run, { runId: 'run_a' })
})

test('a reader and a subscriber that leave close their connections', async (t) => {
  const hanging = await httpEngine(t, (_request, response, path) => {
    if (path.includes('/streams/'))
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
  })
  const stop = new AbortController()
  let opened = 0
  const read = async (runId: string) => {
    const onOpen = () => {
      opened++
      if (opened === 2) stop.abort()
    }
    for await (const _ of hanging.engine.chunks(runId, stop.signal, { onOpen }));
  }
  const follow = async () => {
    for await (const _ of hanging.engine.changes('t', stop.signal));
  }
  await Promise.all([read('run_a'), read('run_b'), follow()])
  while (hanging.open() > 0) await hanging.closed()
  t.equal(hanging.open(), 0)
  t.strictSame(hanging.calls, ['stream ok', 'stream ok'], 'a reader that leaves is no failure of the engine')
})
