import { once } from 'node:events'
import { createServer, METHODS } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import pg from 'pg'
import { test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { RUN_ERROR_CODES } from '../../src/services/run-failures.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { query, until } from '../services/rows.ts'
import { testConfig } from '../support/app.ts'
import { createDatabase } from '../support/postgres.ts'
import { type Service, startService, token } from '../support/service.ts'

/** One sample of the exposition format: name, labels, value. */
type Sample = { name: string; labels: Record<string, string>; value: number }

const scrape = (service: Service): Promise<Sample[]> => scrapePort(service.app.metricsPort)

async function scrapePort(port: number | undefined): Promise<Sample[]> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  if (response.status !== 200) throw new Error(String(response.status))
  return (await response.text()).split('\n').flatMap((line) => {
    const [, name, labels = '', value] = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/) ?? []
    if (name === undefined) return []
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, of]) => [key, of])
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }]
  })
}

/** The sum of the samples with that name and those labels; undefined when there is none. */
function valueIn(samples: Sample[], name: string, labels: Record<string, string> = {}): number | undefined {
  const found = samples.filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([key, of]) => sample.labels[key] === of),
  )
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
}

test('runs, requests, engine calls, limits and the pool are counted while turns are served', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0', RATE_LIMIT_START_MAX: '4' } })
  const started = await service.call('POST', '/api/agent/chat', { body: { message: 'What is 17 * 23?' } })
  t.equal(started.status, 202)
  await service.ended(started.body.runId)
  const failed = await service.call('POST', '/api/agent/chat', { body: { message: '[[fail:401]]' } })
  await service.ended(failed.body.runId)
  const headers = { 'idempotency-key': 'once' }
  const keyed = { body: { message: 'Hello' }, headers }
  await service.call('POST', '/api/agent/chat', keyed)
  t.equal((await service.call('POST', '/api/agent/chat', keyed)).headers.get('idempotency-replayed'), 'true')
  const messages = [{ id: '1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] }]
  const stream = await service.call('POST', '/api/agent/chat/stream', { body: { messages } })
  t.equal(stream.status, 200)
  t.equal((await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })).status, 429)
  t.equal((await service.call('GET', '/no/such/address')).status, 404)

  const samples = await scrape(service)
  const value = (name: string, labels?: Record<string, string>) => valueIn(samples, name, labels)
  t.equal(value('agent_chat_turns_started_total', { outcome: 'stored' }), 4)
  t.equal(value('agent_chat_turns_started_total', { outcome: 'replayed' }), 1)
  t.equal(value('agent_chat_turns_started_total', { outcome: 'rate_limited' }), 1)
  t.ok(Number(value('agent_chat_runs_finished_total', { status: 'completed' })) >= 1)
  t.ok(Number(value('agent_chat_run_queue_seconds_count')) >= 1)
  t.ok(Number(value('agent_chat_run_duration_seconds_sum', { status: 'completed' })) > 0)
  t.equal(value('agent_chat_first_token_seconds_count'), 1)
  t.equal(value('agent_chat_engine_call_duration_seconds_count', { kind: 'start', outcome: 'ok' }), 4)
  t.ok(
    Number(value('agent_chat_engine_call_duration_seconds_count', { kind: 'retrieve', outcome: 'ok' })) >= 1,
  )
  t.equal(value('agent_chat_rate_limit_decisions_total', { bucket: 'start', decision: 'allowed' }), 4)
  t.equal(value('agent_chat_rate_limit_decisions_total', { bucket: 'start', decision: 'refused' }), 1)
  t.equal(value('agent_chat_rate_limit_uncounted_total'), 0)
  const start = { method: 'POST', route: '/api/agent/chat', held: 'no' }
  t.equal(value('agent_chat_http_request_duration_seconds_count', { ...start, status: '202' }), 4)
  t.equal(value('agent_chat_http_request_duration_seconds_count', { ...start, status: '429' }), 1)
  t.equal(value('agent_chat_http_request_duration_seconds_count', { route: 'other', status: '404' }), 1)
  t.ok(
    Number(
      value('agent_chat_http_request_duration_seconds_count', {
        route: '/api/agent/chat/:runId',
        held: 'yes',
      }),
    ) >= 1,
    'waits are told apart from polls',
  )
  const tokens = (type: string) => value('agent_chat_tokens_total', { model: 'offline', type })
  const { usage } = (await service.ended(started.body.runId)).body
  t.ok(Number(tokens('input')) >= usage.inputTokens, 'tokens of the model are counted')
  t.ok(Number(tokens('output')) >= usage.outputTokens)
  t.notOk('model' in usage, 'callers are not told which model answered')
  t.equal(value('agent_chat_http_requests_in_flight'), 0)
  t.equal(value('agent_chat_stream_viewers'), 0)
  t.equal(value('agent_chat_database_pool_max'), 10)
  t.ok(Number(value('agent_chat_database_pool_connections', { state: 'idle' })) >= 1)
  t.equal(value('agent_chat_component_up', { component: 'database' }), 1)
  t.ok(Number(value('process_resident_memory_bytes')) > 0)
  const labels = samples.flatMap((sample) => Object.values(sample.labels)).join(' ')
  t.notMatch(labels, /alice|run_|no\/such/, 'no label comes from a caller')
})

test('a request counts as held only when a route held it: no preflight, no refusal, no plain poll', async (t) => {
  const environment = { METRICS_PORT: '0', CORS_ORIGINS: 'https://app.example' }
  const service = await startService(t, { environment })
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })
  await service.ended(body.runId)
  const before = held(await scrape(service))
  const run = `/api/agent/chat/${body.runId}`
  const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
  for (const path of ['/api/agent/chat/stream', '/api/agent/chat/sync', `${run}?wait=30`]) {
    await fetch(service.url + path, { method: 'OPTIONS', headers: preflight })
    await fetch(service.url + path, { method: 'OPTIONS' })
    await fetch(service.url + path, { method: 'PUT' })
    await fetch(service.url + path)
    await service.call('POST', path, { body: {} })
  }
  await service.call('GET', `${run}?wait=0`)
  await service.call('GET', `${run}?wait=many`)
  await service.call('GET', run, { headers: { prefer: 'wait=10' } })
  await service.call('POST', '/api/agent/chat', {
    body: { message: 'Hello' },
    headers: { prefer: 'wait=10' },
  })
  t.equal(held(await scrape(service)), before)
  await service.call('POST', '/api/agent/chat/sync', { body: { message: 'Hello' } })
  await service.call('GET', `${run}/stream`)
  await service.call('GET', `${run}?wait=1`)
  t.equal(held(await scrape(service)), before + 3)
})

/** How many requests were held. */
const held = (samples: Sample[]): number =>
  valueIn(samples, 'agent_chat_http_request_duration_seconds_count', { held: 'yes' }) ?? 0

test('callers without a token add no series but one for each status', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0', AUTH_FAILURE_MAX: '5' } })
  const paths = [
    '/nope',
    '/api/agent/chat',
    '/api/agent/chat/run_x',
    '/api/agent/chat/sync',
    '/livez',
    '/docs',
  ]
  const lines = METHODS.flatMap((method) => paths.map((path) => `${method} ${path} HTTP/1.1`))
  const known = lines.filter((line) => !line.startsWith('CONNECT'))
  await Promise.all(known.map((line) => raw(service, line, '')))
  for (let count = 0; count < 7; count++) await raw(service, 'GET /api/agent/chat HTTP/1.1', 'Bearer bad')
  const requests = (await scrape(service)).filter(
    ({ name }) => name === 'agent_chat_http_request_duration_seconds_count',
  )
  const sets = requests.map(({ labels: { method, route, status } }) => `${method} ${route} ${status}`).sort()
  const unknown = sets.filter((set) => set.startsWith('other other '))
  t.strictSame(
    unknown,
    ['204', '400', '401', '404', '405', '429'].map((status) => `other other ${status}`),
  )
  const isPublic = (set: string) => /^(GET|HEAD) \/(livez|docs)/.test(set)
  t.strictSame(
    sets.filter((set) => !isPublic(set) && !unknown.includes(set)),
    [],
  )
})

/** One request line as it stands; `fetch` refuses most methods. */
async function raw(service: Service, line: string, authorization: string): Promise<void> {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  const headers = authorization === '' ? '' : `authorization: ${authorization}\r\n`
  socket.end(`${line}\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`)
  await new Promise((resolve) => socket.on('close', resolve).resume())
}

test('the models that a worker may invent are counted under a bounded number of names', async (t) => {
  const metrics = createMetrics('0')
  const usage = { inputTokens: 2, outputTokens: 1, totalTokens: 3 }
  const finish = (model?: string) =>
    metrics.runFinished({
      status: 'completed',
      errorCode: null,
      usage: model === undefined ? usage : { ...usage, model },
      queueSeconds: undefined,
      runSeconds: undefined,
    })
  finish()
  for (let number = 0; number < 200; number++) finish(`model-${number}`)
  const counter = await metrics.registry.getSingleMetric('agent_chat_tokens_total')?.get()
  const input = counter?.values.filter(({ labels }) => labels.type === 'input') ?? []
  t.equal(input.length, 51)
  t.equal(input.find(({ labels }) => labels.model === 'unknown')?.value, 2)
  t.equal(input.find(({ labels }) => labels.model === 'other')?.value, 2 * 151)
})

test('attempts at the engine are counted by what became of them', async (t) => {
  const answers = createServer((_request, response) => response.writeHead(503).end('{}')).listen(
    0,
    '127.0.0.1',
  )
  t.teardown(() => answers.close())
  await once(answers, 'listening')
  const apiUrl = `http://127.0.0.1:${(answers.address() as AddressInfo).port}`
  for (const [TRIGGER_API_URL, outcome] of [
    [apiUrl, '503'],
    ['http://127.0.0.1:1', 'connection'],
  ] as const) {
    const app = buildApp({
      ...testConfig(),
      metricsPort: 0,
      trigger: { ...testConfig().trigger, apiUrl: TRIGGER_API_URL },
    })
    t.teardown(() => app.close())
    await app.ready()
    await t.rejects(app.engine.cancel('run_x'))
    const samples = await scrapePort(app.metricsPort)
    const calls = valueIn(samples, 'agent_chat_engine_call_duration_seconds_count', {
      kind: 'cancel',
      outcome,
    })
    t.ok(Number(calls) >= 1, outcome)
  }
})

test('who leaves before the answer is counted as aborted, once', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0' } })
  const { body } = await service.call('POST', '/api/agent/chat', {
    body: { message: 'Tell me a long story.' },
  })
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  const authorization = `Bearer ${await token('alice')}`
  socket.write(
    `GET /api/agent/chat/${body.runId}/stream HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`,
  )
  await new Promise((resolve) => socket.once('data', resolve))
  t.equal(valueIn(await scrape(service), 'agent_chat_stream_viewers'), 1)
  socket.destroy()
  const aborted = async () =>
    valueIn(await scrape(service), 'agent_chat_http_request_duration_seconds_count', {
      route: '/api/agent/chat/:id/stream',
    })
  while ((await aborted()) === undefined) await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(await aborted(), 1)
  t.equal(valueIn(await scrape(service), 'agent_chat_http_requests_in_flight'), 0)
})

test('the first text is timed for those who see it come, not for those who are shown it later', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0' } })
  const count = async () => valueIn(await scrape(service), 'agent_chat_first_token_seconds_count')
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'What is 17 * 23?' } })
  const joined = await service.call('GET', `/api/agent/chat/${body.runId}/stream`)
  t.match(joined.body, /text-delta/)
  await service.ended(body.runId)
  t.match((await service.call('GET', `/api/agent/chat/${body.runId}/stream`)).body, /text-delta/)
  t.equal(await count(), 0)
  const messages = [{ id: '1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] }]
  const leaving = new AbortController()
  const story = [{ id: '1', role: 'user', parts: [{ type: 'text', text: '[[stall-after:0]] story' }] }]
  const left = await fetch(`${service.url}/api/agent/chat/stream`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await token('alice')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ messages: story }),
    signal: leaving.signal,
  })
  leaving.abort()
  t.equal(left.status, 200)
  await service.call('POST', '/api/agent/chat/stream', { body: { messages } })
  t.equal(await count(), 1)
})

test('what alerts look for begins with 0, so that the first failure is one more', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0' } })
  const samples = await scrape(service)
  for (const code of RUN_ERROR_CODES)
    t.equal(valueIn(samples, 'agent_chat_runs_finished_total', { error_code: code }), 0, code)
  t.equal(valueIn(samples, 'agent_chat_engine_call_duration_seconds_count', { outcome: '429' }), 0)
  t.equal(valueIn(samples, 'agent_chat_rate_limit_uncounted_total'), 0)
})

test('a run that is overdue shows as lag, and nothing does while the database is away', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startToxicProxy(databaseUrl)
  t.teardown(() => proxy.stop())
  const service = await startService(t, { databaseUrl: proxy.url, environment: { METRICS_PORT: '0' } })
  const lag = async () => valueIn(await scrape(service), 'agent_chat_sweeper_lag_seconds')
  await until(async () => (await lag()) === 0)
  const { body } = await service.call('POST', '/api/agent/chat', {
    body: { message: '[[stall-after:3]] story' },
  })
  const other = new pg.Client({ connectionString: databaseUrl })
  await other.connect()
  t.teardown(() => other.end())
  // No sweeper takes a row that is locked.
  await other.query(`begin; update runs set check_at = now() - interval '300 seconds'; commit;
    begin; select from runs for update`)
  t.equal(body.status, 'queued')
  await until(async () => Number(await lag()) >= 300)
  t.equal(valueIn(await scrape(service), 'agent_chat_unfinished_runs'), 1)

  await proxy.cut()
  await until(async () => (await lag()) === undefined)
  const samples = await scrape(service)
  t.equal(valueIn(samples, 'agent_chat_unfinished_runs'), undefined)
  t.equal(valueIn(samples, 'agent_chat_oldest_unfinished_seconds'), undefined)
  t.equal(valueIn(samples, 'agent_chat_component_up', { component: 'database' }), 0)
})

test('who waits for a connection of the pool is counted', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0', DATABASE_POOL_MAX: '2' } })
  const sleeping = Array.from({ length: 6 }, () => query(service, 'select pg_sleep(1)'))
  const samples = await scrape(service)
  const connections = (state: string) => valueIn(samples, 'agent_chat_database_pool_connections', { state })
  t.equal(connections('used'), 2)
  t.equal(connections('idle'), 0)
  t.ok(Number(connections('waiting')) >= 4)
  await Promise.all(sleeping)
})

test('a drain leaves no viewer', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0' } })
  const messages = [{ id: '1', role: 'user', parts: [{ type: 'text', text: '[[stall-after:3]] story' }] }]
  const reading = service.call('POST', '/api/agent/chat/stream', { body: { messages } })
  const viewers = async () => valueIn(await scrape(service), 'agent_chat_stream_viewers')
  await until(async () => (await viewers()) === 1)
  service.app.streams.drain()
  await t.rejects(reading, 'its stream has no end')
  await until(async () => (await viewers()) === 0)
  t.equal(valueIn(await scrape(service), 'agent_chat_streamed_runs'), 0)
})

test('only GET /metrics is served there, and nothing is when no port is set', async (t) => {
  const service = await startService(t, { environment: { METRICS_PORT: '0' } })
  const url = `http://127.0.0.1:${service.app.metricsPort}`
  t.equal((await fetch(`${url}/api/agent/chat`)).status, 404)
  t.equal((await fetch(`${url}/metrics`, { method: 'POST' })).status, 404)
  t.equal((await fetch(`${service.url}/metrics`)).status, 404, 'callers never see them')
  await t.rejects(
    startService(t, {
      engine: service.engine,
      environment: { METRICS_PORT: String(service.app.metricsPort) },
    }),
    /port \d+ on 127\.0\.0\.1 is taken by another process\. Set METRICS_PORT/,
  )
  await service.close()
  await t.rejects(fetch(`${url}/metrics`), 'the port ends with the service')

  const without = await startService(t, { engine: service.engine })
  t.equal(without.app.metrics, undefined)
  t.equal(without.app.metricsPort, undefined)
})
