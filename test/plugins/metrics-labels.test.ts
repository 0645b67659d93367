import { once } from 'node:events'
import { createServer, METHODS } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { testConfig } from '../support/app.ts'
import { type Sample, scrape, scrapePort, valueIn } from '../support/scrape.ts'
import { type Service, startService } from '../support/service.ts'

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
    ['204', '401', '404', '405', '429'].map((status) => `other other ${status}`),
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
      agent: 'default',
      status: 'completed',
      errorCode: null,
      usage,
      facts: model === undefined ? {} : { model },
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
