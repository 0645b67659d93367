/**
 * Process: measures viewers of live runs, and viewers of a run that writes nothing. The service and the engine have their
 * own processes, so that the memory of the service is measured alone. The live runs write the time, and their viewers
 * compare it with their own clock.
 *
 * --runs N      live runs, 20 when left out
 * --viewers N   viewers of the live runs, 1000 when left out
 * --idle N      viewers of the run that writes nothing, none when left out
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config/config.ts'
import { startLocalEngine } from '../src/local/engine/engine.ts'
import { SECRET, token } from '../test/support/service.ts'
import { startTestDatabase } from '../test/support/test-database.ts'

const { values: wanted, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '20' },
    viewers: { type: 'string', default: '1000' },
    idle: { type: 'string', default: '0' },
  },
})
const [RUNS, VIEWERS, IDLE] = [wanted.runs, wanted.viewers, wanted.idle].map(Number) as [
  number,
  number,
  number,
]
const MEASURED_MS = 15_000
const ENGINE_KEY = 'tr_dev_bench'

interface Figures {
  viewers: number
  logs: number
  reads: number
  rssMiB: number
  cpuSeconds: number
}

const [role, ...rest] = positionals
// The processes of the benchmark end whenever the benchmark ends, also by an error.
if (role !== undefined) process.on('disconnect', () => process.exit(1))
if (role === 'engine') await beEngine()
else if (role === 'service') await beService(rest)
else await measure()

async function beEngine(): Promise<void> {
  const engine = await startLocalEngine({
    taskModules: [fileURLToPath(new URL('./tasks/ticker.ts', import.meta.url))],
    secretKey: ENGINE_KEY,
    maxChildren: RUNS + 1,
    log: { info() {}, warn() {}, error() {} },
  })
  process.on('message', () => engine.stop().then(() => process.exit(0)))
  process.send?.(engine.url)
}

async function beService([databaseUrl, engineUrl]: string[]): Promise<void> {
  const config = loadConfig({
    NODE_ENV: 'production',
    LOG_LEVEL: 'error',
    DATABASE_URL: databaseUrl,
    TRIGGER_SECRET_KEY: ENGINE_KEY,
    TRIGGER_API_URL: engineUrl,
    AUTH_JWT_SECRET: SECRET,
    RATE_LIMIT_START_MAX: '100000',
    RATE_LIMIT_READ_MAX: '1000000',
    STREAMS_PER_USER_MAX: '100000',
  })
  const app = buildApp(config as Parameters<typeof buildApp>[0])
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  process.on('message', (message) => {
    if (message === 'end') return void app.close().then(() => process.exit(0))
    const { user, system } = process.cpuUsage()
    const rssMiB = process.memoryUsage.rss() / 2 ** 20
    process.send?.({ ...app.streams.stats(), rssMiB, cpuSeconds: (user + system) / 1e6 })
  })
  process.send?.(url)
}

async function measure(): Promise<void> {
  const database = await startTestDatabase(undefined)
  const databaseUrl = new URL(database.environment.TEST_DATABASE_SERVER)
  databaseUrl.pathname = database.environment.TEST_DATABASE_TEMPLATE
  const engine = await startRole(['engine'])
  const service = await startRole(['service', databaseUrl.href, engine.address])
  const ask = async (): Promise<Figures> => {
    service.child.send('figures')
    return (await once(service.child, 'message'))[0]
  }
  const authorization = `Bearer ${await token('alice')}`
  while ((await fetch(`${service.address}/readyz`)).status !== 200) await sleep(100)
  await sleep(2000)
  const before = await ask()

  const start = async (message: string) => {
    const response = await fetch(`${service.address}/api/agent/chat`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ message }),
    })
    return ((await response.json()) as { runId: string }).runId
  }
  const quiet = IDLE > 0 ? await start('quiet') : ''
  const runIds = await Promise.all(Array.from({ length: RUNS }, () => start('go')))

  const delays: number[] = []
  let measuring = false
  const streaming = new Set<number>()
  const newest: number[] = []
  /** Opens the stream at its present end, so that a replay of earlier frames is not measured. */
  const view = (number: number) => {
    const run = number % RUNS
    const path = `/api/agent/chat/${runIds[run]}/stream?startIndex=${newest[run] ?? 0}`
    get(service.address + path, { agent: false, headers: { authorization } }, (response) => {
      response.setEncoding('latin1').on('data', (text: string) => {
        const now = Date.now()
        for (const [, index, written] of text.matchAll(/id: (\d+)\ndata: .*"delta":"(\d+)/g)) {
          streaming.add(number)
          if (number < RUNS) newest[run] = Number(index)
          if (measuring) delays.push(now - Number(written))
        }
      })
      response.on('error', () => {})
    }).on('error', (error) => console.error(error.message))
  }
  // Each run starts its own process, which takes some time.
  for (let number = 0; number < RUNS; number++) view(number)
  while (streaming.size < RUNS) await sleep(50)
  const connectedFrom = performance.now()
  for (let number = RUNS; number < VIEWERS; number++) {
    view(number)
    while (number - streaming.size > 50) await sleep(5)
  }
  while (streaming.size < VIEWERS) await sleep(5)
  let idle = 0
  for (let number = 0; number < IDLE; number++) {
    const path = `/api/agent/chat/${quiet}/stream`
    get(service.address + path, { agent: false, headers: { authorization } }, (response) => {
      if (response.statusCode === 200) idle++
      response.resume().on('error', () => {})
    }).on('error', (error) => console.error(error.message))
    while (number - idle > 50) await sleep(5)
  }
  while (idle < IDLE) await sleep(5)
  const connectedMs = performance.now() - connectedFrom

  const from = await ask()
  measuring = true
  await sleep(MEASURED_MS)
  measuring = false
  const to = await ask()

  delays.sort((a, b) => a - b)
  const at = (part: number) => `${delays[Math.floor(delays.length * part)]} ms`
  row('viewers, runs, reads of the engine', `${to.viewers}, ${to.logs}, ${to.reads}`)
  row('until all were connected and had a frame', `${connectedMs.toFixed(0)} ms`)
  row('CPU of the service meanwhile', `${(from.cpuSeconds - before.cpuSeconds).toFixed(1)} s`)
  row('frames received a second', `${Math.round(delays.length / (MEASURED_MS / 1000))}`)
  row('chunk written to frame received, p50 / p99 / max', `${at(0.5)} / ${at(0.99)} / ${at(1 - 1e-9)}`)
  row(
    'memory of the service without and with viewers',
    `${before.rssMiB.toFixed(0)} / ${to.rssMiB.toFixed(0)} MiB`,
  )
  row('memory of a viewer', `${(((to.rssMiB - before.rssMiB) * 1024) / (VIEWERS + IDLE)).toFixed(0)} KiB`)
  row('CPU of the service', `${(((to.cpuSeconds - from.cpuSeconds) * 1000) / MEASURED_MS).toFixed(2)} cores`)

  for (const { child } of [service, engine]) {
    child.send('end')
    await once(child, 'exit')
  }
  await database.stop()
  process.exit(0)
}

async function startRole(args: string[]) {
  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), ...args])
  const [address] = await once(child, 'message')
  return { child, address: address as string }
}

function row(name: string, value: string): void {
  console.log(`${name.padEnd(52)} ${value}`)
}
