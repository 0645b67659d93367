// npm run test:memory: fifty thousand turns in one process of the service, each started and waited for; its heap may not
// grow from the first two thousand on. MEMORY_TURNS=5000 is quick. The last line is "N passed, N failed".
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { startInstantEngine } from '../support/instant-engine.ts'
import { SECRET, token } from '../support/service.ts'
import { startTestDatabase } from '../support/test-database.ts'

const TURNS = Number(process.env.MEMORY_TURNS ?? 50_000)
const FIRST = 2_000
const LANES = 16
const USERS = 100
const MAX_GROWTH_MB = 10

const [databaseUrl, engineUrl] = process.argv.slice(2)
if (databaseUrl !== undefined && engineUrl !== undefined) await beService(databaseUrl, engineUrl)
else await measure()

async function beService(databaseUrl: string, engineUrl: string): Promise<void> {
  process.on('disconnect', () => process.exit(1))
  const config = loadConfig({
    NODE_ENV: 'production',
    LOG_LEVEL: 'silent',
    DATABASE_URL: databaseUrl,
    TRIGGER_SECRET_KEY: 'tr_dev_memory',
    TRIGGER_API_URL: engineUrl,
    TRIGGER_CALLS_PER_MINUTE: '0',
    AUTH_JWT_SECRET: SECRET,
    RATE_LIMIT_START_MAX: '1000000',
    RATE_LIMIT_READ_MAX: '1000000',
  })
  const app = buildApp(config as Parameters<typeof buildApp>[0])
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  process.on('message', async () => process.send?.(await heapMb()))
  process.send?.(url)
}

/** What is alive, after everything that is dead has been collected. */
async function heapMb(): Promise<number> {
  for (let round = 0; round < 5; round++) {
    await new Promise((resolve) => setImmediate(resolve))
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed / 2 ** 20
}

async function measure(): Promise<void> {
  const database = await startTestDatabase(undefined)
  const engine = await startInstantEngine()
  const address = new URL(database.environment.TEST_DATABASE_SERVER)
  address.pathname = `/${database.environment.TEST_DATABASE_TEMPLATE}`
  const service = fork(fileURLToPath(import.meta.url), [address.href, engine.url], {
    execArgv: ['--expose-gc'],
  })
  try {
    const [url] = (await once(service, 'message')) as [string]
    const heap = async () => {
      service.send('heap')
      return ((await once(service, 'message')) as [number])[0]
    }
    const authorizations = await Promise.all(
      Array.from({ length: USERS }, async (_, n) => `Bearer ${await token(`user${n}`, {}, '10h')}`),
    )
    let failures = 0
    let begun = 0
    async function turn(): Promise<void> {
      const headers = {
        authorization: authorizations[begun % USERS] as string,
        'content-type': 'application/json',
      }
      const body = JSON.stringify({ message: `What is ${begun} + 1?`, metadata: { number: String(begun) } })
      const started = await fetch(`${url}/api/agent/chat`, { method: 'POST', headers, body })
      const { runId } = (await started.json()) as { runId?: string }
      const ended = await fetch(`${url}/api/agent/chat/${runId}?wait=30`, { headers })
      const { status } = (await ended.json()) as { status?: string }
      if (status !== 'completed') failures += 1
    }
    const until = (turns: number) =>
      Promise.all(
        Array.from({ length: LANES }, async () => {
          while (begun < turns) {
            begun += 1
            await turn()
          }
        }),
      )
    while ((await fetch(`${url}/readyz`)).status !== 200);
    await until(FIRST)
    const first = await heap()
    console.log(`heap after ${FIRST} turns: ${first.toFixed(1)} MB`)
    const since = performance.now()
    let last = first
    for (let turns = FIRST + 8_000; begun < TURNS; turns += 8_000) {
      await until(Math.min(turns, TURNS))
      last = await heap()
      console.log(`heap after ${begun} turns: ${last.toFixed(1)} MB`)
    }
    const rate = ((TURNS - FIRST) / ((performance.now() - since) / 1_000)).toFixed(0)
    console.log(`${rate} turns a second, ${failures} were not completed`)
    const holds = [last - first < MAX_GROWTH_MB, failures < TURNS / 100, engine.runs >= TURNS]
    const passed = holds.filter(Boolean).length
    console.log(
      `${holds[0] ? 'ok    ' : 'not ok'} the heap has grown by ${(last - first).toFixed(1)} MB, less than ${MAX_GROWTH_MB}`,
    )
    console.log(`\n${passed} passed, ${holds.length - passed} failed`)
    process.exitCode = passed === holds.length ? 0 : 1
  } finally {
    service.kill()
    engine.stop()
    await database.stop()
  }
}
