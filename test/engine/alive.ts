/**
 * A process of its own, started with `--expose-gc`: passes many values through an iterator of the real adapter and
 * prints twice, early and late, how many of them are still alive while it goes on: `node --expose-gc alive.ts chunks|changes`.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'

const CHUNKS = 250
const RUNS_A_POLL = 50
const POLLS = 20

/** A stream of 250 chunks of 100 kB that stays open. */
async function answerStream(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (let index = 0; index < CHUNKS; index++) {
    const record = { index, chunk: { type: 'text-delta', id: 't', delta: 'x'.repeat(100_000) } }
    if (!response.write(`id: ${index}-0\ndata: ${JSON.stringify(record)}\n\n`)) await once(response, 'drain')
  }
}

/** Each poll tells of fifty runs that have begun and of the ends of the fifty before; the last one is silent. */
function answerPoll(response: ServerResponse, poll: number): void {
  if (poll > POLLS) return
  const row = (n: number, status: string) => ({
    key: `"public"."TaskRun"/"${n}"`,
    value: {
      id: String(n),
      friendlyId: `run_${n}`,
      status,
      createdAt: '2026-11-22T09:16:00.275',
      startedAt: '2026-11-22T09:16:00.275',
      runTags: `{"instance_a","turn_${n}"}`,
      // What a row weighs; nothing reads it.
      taskIdentifier: String(n).padEnd(20_000),
    },
    headers: { operation: status === 'EXECUTING' ? 'insert' : 'update' },
  })
  const numbers = Array.from({ length: RUNS_A_POLL }, (_, n) => poll * RUNS_A_POLL + n)
  const messages = [
    ...(poll === POLLS ? [] : numbers.map((n) => row(n, 'EXECUTING'))),
    ...numbers.map((n) => row(n - RUNS_A_POLL, 'COMPLETED_SUCCESSFULLY')),
    { headers: { control: 'up-to-date' } },
  ]
  response
    .writeHead(200, {
      'content-type': 'application/json',
      'electric-handle': 'h',
      'electric-offset': `${poll}_0`,
      'electric-cursor': String(poll),
      'electric-up-to-date': '',
      'electric-schema': JSON.stringify({ runTags: { type: 'text', dims: 1 } }),
    })
    .end(JSON.stringify(messages))
}

let polls = 0
const server = createServer((request, response) => {
  if (request.url?.includes('/streams/')) void answerStream(response)
  else answerPoll(response, polls++)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const engine = triggerRunEngine({
  secretKey: 'tr_dev_test',
  apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  callsPerMinute: 0,
  listLagMs: 0,
  log: { warn() {}, error() {} },
})

const { signal } = new AbortController()
const isStream = process.argv[2] === 'chunks'
const values: AsyncIterable<object> = isStream
  ? engine.chunks('run_a', signal)
  : engine.changes('instance_a', signal)
const expected = isStream ? CHUNKS : RUNS_A_POLL * (2 * POLLS + 1)

const seen: WeakRef<object>[] = []
for await (const value of values) {
  seen.push(new WeakRef(value))
  if (seen.length === expected) break
  if (seen.length === 100 || seen.length === expected - 50) await report()
}

/** What is alive in the middle of the iteration. */
async function report(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await sleep(20)
    global.gc?.()
  }
  const alive = seen.filter((reference) => reference.deref() !== undefined).length
  const heapMb = Math.round(process.memoryUsage().heapUsed / 2 ** 20)
  console.log(JSON.stringify({ seen: seen.length, alive, heapMb }))
}
process.exit()
