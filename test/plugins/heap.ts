import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { JWK } from 'jose'
import { type Service, startService } from '../support/service.ts'
import { createSigner } from '../support/tokens.ts'
import { acceptedBodies, type Load, openAndCut, pipeline, postAll, refusedBodies } from './heap-load.ts'

/**
 * A process of its own, run with --expose-gc: does to a service what could leave something in its memory, and prints
 * after each step by how many bytes its heap has grown since the start. Its argument is a `Plan` in JSON.
 */
export interface Plan {
  databaseUrl: string
  engine: { url: string; secretKey: string }
  /** Requests with a valid token that arrive in one segment. */
  pipelined: number
  /** Bodies of 2 MiB that are refused, and that are accepted. */
  refused: number
  accepted: number
  /** Streams that are opened and cut. */
  streams: number
  /** Key sets of 100,000 keys that are offered. */
  keySets: number
}

const plan = JSON.parse(process.argv[2] ?? '{}') as Plan
const KEYS = 100_000
const ISSUER = 'https://issuer.example'
const AUDIENCE = 'agents'

const [signer, stranger] = [await createSigner('ES256', 'known'), await createSigner('ES256', 'unknown')]
const identity = { iss: ISSUER, aud: AUDIENCE, sub: 'alice', exp: Math.floor(Date.now() / 1000) + 12 * 3600 }
const keySet = await serveKeySet(signer.jwk)
const service = await startService(
  { teardown() {} },
  {
    engine: plan.engine as Service['engine'],
    databaseUrl: plan.databaseUrl,
    environment: {
      AUTH_JWT_SECRET: '',
      AUTH_JWKS_URL: keySet.url,
      AUTH_ISSUER: ISSUER,
      AUTH_AUDIENCE: AUDIENCE,
    },
  },
)
const authorization = `Bearer ${await signer.sign(identity)}`
const load: Load = { port: Number(new URL(service.url).port), authorization }

/** One key, and as soon as that is wished, a hundred thousand. */
async function serveKeySet(known: JWK) {
  const state = { isHuge: false, offered: 0, sentBytes: 0 }
  const server = createServer((_request, response) => {
    if (!state.isHuge) return void response.end(JSON.stringify({ keys: [known] }))
    state.offered++
    void writeKeys(response, known, (bytes) => {
      state.sentBytes += bytes
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return { state, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks` }
}

async function writeKeys(
  response: ServerResponse,
  known: JWK,
  onBytes: (bytes: number) => void,
): Promise<void> {
  response.on('error', () => {}) // The service reads no more than it takes.
  response.write('{"keys":[')
  for (let index = 0; index < KEYS && !response.destroyed; index++) {
    const key = `${JSON.stringify({ ...known, kid: `k${index}` })},`
    onBytes(key.length)
    if (!response.write(key))
      await new Promise((resolve) => response.once('drain', resolve).once('close', resolve))
  }
  response.end(`${JSON.stringify(known)}]}`)
}

/** Asks with a key that is not known until the service has looked for it that often. */
async function offerKeySets(count: number): Promise<void> {
  keySet.state.isHuge = true
  const unknown = `Bearer ${await stranger.sign(identity)}`
  while (keySet.state.offered < count) {
    await fetch(`${service.url}/api/agent/chat`, { headers: { authorization: unknown } })
    await sleep(100)
  }
  keySet.state.isHuge = false
}

const call = async (method: string, path: string, body?: object) => {
  const response = await fetch(service.url + path, {
    method,
    headers: { authorization, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  return (await response.json()) as { runId: string; status: string }
}

/** One run that is over, and one that goes on for longer than this test. */
async function runsToWatch(): Promise<string[]> {
  const over = await call('POST', '/api/agent/chat', { message: 'What is 2 + 3?' })
  while ((await call('GET', `/api/agent/chat/${over.runId}?wait=30`)).status !== 'completed');
  const live = await call('POST', '/api/agent/chat', { message: '[[tool-stall:3600]] Please wait' })
  return [over.runId, live.runId]
}

async function heap(): Promise<number> {
  for (let round = 0; round < 5; round++) {
    await turn()
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
}

const [refused, accepted, runs] = [refusedBodies(), acceptedBodies(), await runsToWatch()]

/** Steps, each with what came of it. */
const STEPS: Array<[string, number, (count: number) => Promise<unknown>]> = [
  ['pipelined', plan.pipelined, (count) => pipeline(load, count)],
  ['refused', plan.refused, (count) => postAll(load, refused, count)],
  ['accepted', plan.accepted, (count) => postAll(load, accepted, count)],
  ['streams', plan.streams, (count) => openAndCut(load, runs, count)],
  ['keySets', plan.keySets, async (count) => offerKeySets(count)],
]

// Everything once or twice, so that what is made only once does not count.
for (const [name, , step] of STEPS) if (name !== 'keySets') await step(8)
await sleep(500)
const before = await heap()
for (const [name, count, step] of STEPS) {
  if (count === 0) continue
  const result = await step(count)
  // Connections that were cut are noticed a moment later.
  await sleep(500)
  const { rss } = process.memoryUsage()
  const after = await heap()
  console.log(JSON.stringify({ name, count, grown: after - before, before, rss, result }))
}
await call('POST', `/api/agent/chat/${runs[1]}/cancel`)
process.exit(0)
