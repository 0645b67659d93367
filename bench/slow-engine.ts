// node bench/slow-engine.ts: sixty parallel starts in twenty conversations, against an engine that delays every trigger.
// Prints one line for each delay: the answers to the callers, the time that they took, and the calls to the engine.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import { sql } from 'kysely'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config/config.ts'
import { startTestDatabase } from '../test/support/test-database.ts'

const DELAYS_MS = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100, 900, 2_500, 5_000]
const CONVERSATIONS = 20
const STARTS = 3
const SECRET = 's'.repeat(32)

let delayMs = 0
let runs = 0
const asked = new Map<string, number>()
const engine = createServer((request, response) => {
  request.resume()
  response.setHeader('content-type', 'application/json')
  const url = request.url ?? ''
  if (url.includes('/realtime')) return // A subscription without events.
  const call = url.includes('/trigger')
    ? 'trigger'
    : url.includes('/cancel')
      ? 'cancel'
      : /runs\/run_/.test(url)
        ? 'get'
        : 'list'
  asked.set(call, (asked.get(call) ?? 0) + 1)
  if (call === 'trigger')
    return void setTimeout(
      () => response.end(JSON.stringify({ id: `run_slow${++runs}`, isCached: false })),
      delayMs,
    )
  response.end(JSON.stringify({ data: [], pagination: {} }))
}).listen(0, '127.0.0.1')

const database = await startTestDatabase(undefined)
const address = new URL(database.environment.TEST_DATABASE_SERVER)
address.pathname = `/${database.environment.TEST_DATABASE_TEMPLATE}`
const app = buildApp(
  loadConfig({
    NODE_ENV: 'production',
    PORT: '0',
    LOG_LEVEL: 'silent',
    DATABASE_URL: address.href,
    TRIGGER_SECRET_KEY: 'tr_dev_bench',
    TRIGGER_API_URL: `http://127.0.0.1:${(engine.address() as AddressInfo).port}`,
    AUTH_JWT_SECRET: SECRET,
    RATE_LIMIT_START_MAX: '100000',
  }) as Parameters<typeof buildApp>[0],
)
const url = await app.listen({ port: 0, host: '127.0.0.1' })
const token = await new SignJWT({ scope: 'agent:read agent:write' })
  .setProtectedHeader({ alg: 'HS256' })
  .setSubject('bench')
  .setExpirationTime('1h')
  .sign(new TextEncoder().encode(SECRET))
const post = (path: string, body: object) =>
  fetch(`${url}/api/agent/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

await post('chat', { message: 'warm' })
const rows = []
for (const delay of DELAYS_MS) {
  delayMs = delay
  // This engine ends no run. Without this statement the sweeper would ask for the runs of earlier delays.
  await app.database.run((db) =>
    sql`update runs set status = 'completed', check_at = null, finished_at = now()`.execute(db),
  )
  asked.clear()
  const conversations = await Promise.all(
    Array.from(
      { length: CONVERSATIONS },
      async () => ((await (await post('conversations', {})).json()) as { id: string }).id,
    ),
  )
  const startedAt = performance.now()
  const statuses = await Promise.all(
    conversations.flatMap((conversationId) =>
      Array.from(
        { length: STARTS },
        async () => (await post('chat', { message: 'hi', conversationId })).status,
      ),
    ),
  )
  const calls = [...asked.values()].reduce((sum, n) => sum + n, 0)
  rows.push({
    'engine answers after': `${delay} ms`,
    told: Object.entries(Object.groupBy(statuses, String))
      .map(([status, all]) => `${all?.length} × ${status}`)
      .join(', '),
    seconds: Number(((performance.now() - startedAt) / 1_000).toFixed(1)),
    'engine calls': Object.fromEntries(asked),
    'calls a start': Number((calls / statuses.length).toFixed(2)),
  })
}
console.table(rows.map((row) => ({ ...row, 'engine calls': JSON.stringify(row['engine calls']) })))
await app.close()
await database.stop()
process.exit(0)
