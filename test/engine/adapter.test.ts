import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { DispatchError } from '../../src/engine/engine-error.ts'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { startEngine } from '../support/service.ts'

const log = { warn() {}, error() {} }

t.test('the engine adapter', async (t) => {
  const local = await startEngine(t)
  const proxy = await startToxicProxy(local.url)
  t.teardown(() => proxy.stop())
  const calls: string[] = []
  const engine = triggerRunEngine({
    secretKey: local.secretKey,
    apiUrl: proxy.url,
    callsPerMinute: 0,
    listLagMs: 0,
    log,
    onCall: ({ kind, outcome }) => calls.push(`${kind} ${outcome}`),
  })
  const turn = (n: number) => ({
    version: 1,
    turnId: `00000000-0000-7000-8000-00000000000${n}`,
    conversationId: null,
    message: { id: 'm', role: 'user' as const, parts: [{ type: 'text' as const, text: 'hello' }] },
    history: [],
    ahead: [],
    assistantMessageId: 'a',
  })
  const options = (n: number, deadlineMs = 10_000) => ({
    engineKey: `key ${n}`,
    concurrencyKey: `c${n}`,
    tags: [`turn_${n}`],
    ttlSeconds: 60,
    maxDurationSeconds: 60,
    keySeconds: 60,
    deadlineMs,
  })
  const outcome = (n: number, deadlineMs = 1_500) =>
    engine.start(turn(n), options(n, deadlineMs)).then(
      () => 'started',
      (error: unknown) => (error instanceof DispatchError ? error.outcome : String(error)),
    )

  t.test('starts once per key', async (t) => {
    const ids = await Promise.all([1, 1, 1].map((n) => engine.start(turn(n), options(n))))
    t.equal(new Set(ids).size, 1)
  })

  t.test('knows that no run was started when the connection was refused', async (t) => {
    await proxy.cut()
    // A request on a connection that is just being closed may have arrived: the pool hears of the cut a moment later.
    await sleep(100)
    t.equal(await outcome(2, 10_000), 'refused')
    t.match(calls.at(-1), 'start connection')
    await proxy.mend()
  })

  t.test('does not know when the answer was lost, and does not hang', async (t) => {
    proxy.toxics.swallowAnswers = true
    t.equal(await outcome(3), 'unknown')
    await t.rejects(
      engine.ping(500).then(() => engine.get('run_x')),
      { code: 'engine_unavailable' },
    )
    await proxy.mend()
    const runs = []
    for await (const run of engine.list({ tag: 'turn_3' })) runs.push(run)
    t.equal(runs.length, 1)
    t.equal(await engine.start(turn(3), options(3)), runs[0]?.runId)
  })

  t.test('ends a reader whose network is silent when it is told to', async (t) => {
    const runId = await engine.start(turn(4), options(4))
    proxy.toxics.swallowAnswers = true
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 200)
    const read = async () => {
      for await (const _ of engine.chunks(runId, stop.signal));
    }
    await read().catch(() => {})
    const follow = async () => {
      for await (const _ of engine.changes('turn_4', stop.signal));
    }
    await follow().catch(() => {})
    await proxy.mend()
    t.pass('both came to an end')
  })

  t.test('distinguishes an unknown run from a lost one', async (t) => {
    t.equal(await engine.get('run_nobodyknowsthisone'), undefined)
    await t.resolves(engine.cancel('run_nobodyknowsthisone'))
  })
})

t.test('a reader that reads nothing makes the engine wait, and does not fill the memory', async (t) => {
  const delta = 'x'.repeat(500_000)
  let sent = 0
  let stuck = Promise.withResolvers<void>()
  const server = createServer(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let index = 0; index < 200; index++) {
      const record = JSON.stringify({ index, chunk: { type: 'text-delta', id: 't', delta } })
      const isTaken = response.write(`id: ${index}-0\ndata: ${record}\n\n`)
      sent = index + 1
      if (isTaken) continue
      const timer = setTimeout(() => stuck.resolve(), 1_000)
      await once(response, 'drain')
      clearTimeout(timer)
    }
    stuck.resolve()
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const engine = triggerRunEngine({
    secretKey: 'tr_dev_test',
    apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    callsPerMinute: 0,
    listLagMs: 0,
    log,
  })
  let next = 0
  for await (const { index } of engine.chunks('run_1', new AbortController().signal)) {
    t.equal(index, next++)
    if (index !== 0) continue
    await stuck.promise
    t.ok(sent < 100, `${sent} records of 500 kB had left`)
    stuck = Promise.withResolvers()
  }
  t.equal(next, 200, 'nothing is lost')
})
