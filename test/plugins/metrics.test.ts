import { connect } from 'node:net'
import pg from 'pg'
import { test } from 'tap'
import { RUN_ERROR_CODES } from '../../src/run-failures.ts'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { query, until } from '../services/rows.ts'
import { createDatabase } from '../support/postgres.ts'
import { scrape, valueIn } from '../support/scrape.ts'
import { startService, token } from '../support/service.ts'

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

test('the counters that alerts use begin with 0, so that the first failure increases them', async (t) => {
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
