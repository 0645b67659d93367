import { test } from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import { workerTracing } from '../../src/telemetry/worker-tracing.ts'
import { type ReceivedSpan, startCollector } from '../support/collector.ts'
import { startEngine, startService } from '../support/service.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'

test('one trace leads from the request over the engine call and the run to its model steps and tools', async (t) => {
  const collector = await startCollector(t)
  const otlp = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-team=agents, x-key=a%20b',
  }
  // What the embedded engine hands on to its workers.
  const engine = await startEngine(t, { childEnv: loadConfig(otlp).agentEnvironment })
  const service = await startService(t, { engine, environment: otlp })
  const { body } = await service.call('POST', '/api/agent/chat', {
    body: { message: 'What is 17 * 23?' },
    headers: { traceparent: `00-${TRACE}-${CALLER}-01`, 'x-request-id': 'the-request' },
  })
  const poll = await service.ended(body.runId)
  t.equal(poll.body.status, 'completed')

  const named = (name: RegExp | string) => (span: ReceivedSpan) =>
    span.traceId === TRACE && (typeof name === 'string' ? span.name === name : name.test(span.name))
  const request = await collector.span(named('POST /api/agent/chat'))
  const call = await collector.span(named('engine start'))
  const run = await collector.span(named('run agent-chat'))
  const agent = await collector.span(named(/^invoke_agent/))
  const step = await collector.span(named('step 1'))
  const model = await collector.span(named(/^chat /))
  const tool = await collector.span(named(/^execute_tool calculate/))

  t.equal(request.parentSpanId, CALLER, "the caller's trace goes on")
  t.equal(call.parentSpanId, request.spanId)
  t.equal(run.parentSpanId, call.spanId)
  t.equal(agent.parentSpanId, run.spanId)
  t.equal(step.parentSpanId, agent.spanId)
  const above = (span: ReceivedSpan): string[] => {
    const parent = collector.spans.find(({ spanId }) => spanId === span.parentSpanId)
    return parent === undefined ? [] : [parent.name, ...above(parent)]
  }
  for (const span of [model, tool])
    t.ok(above(span).includes('run agent-chat'), `${span.name} belongs to the run`)
  t.match(request, {
    service: 'agent-chat-service',
    attributes: { 'http.response.status_code': 202, 'agent_chat.request_id': 'the-request' },
  })
  t.match(run, {
    service: 'agent-chat-worker',
    isError: false,
    attributes: { 'agent_chat.run_id': body.runId, 'gen_ai.conversation.id': body.conversationId },
  })
  t.equal(
    agent.name,
    'invoke_agent agent-chat',
    'the span of the agent has its name, not the name of its model',
  )
  for (const span of [call, run, agent, model])
    t.equal(span.attributes['gen_ai.conversation.id'], body.conversationId, span.name)
  t.match(request.attributes, { 'url.path': '/api/agent/chat', 'url.scheme': 'http' })
  const instances = new Set([request, run].map(({ resource }) => resource['service.instance.id']))
  t.equal(instances.size, 2, 'the service and its worker are two instances')
  for (const id of instances) t.match(id, /^[\da-f-]{36}$/)
  const queries = collector.spans.filter(({ parentSpanId }) => parentSpanId === request.spanId)
  for (const summary of ['turns.start', 'turns.record'])
    t.match(
      queries.find(({ name }) => name === `postgresql ${summary}`),
      { attributes: { 'db.system.name': 'postgresql', 'db.query.summary': summary } },
      'a query of the request is a span below it',
    )
  t.notMatch(collector.text(), /17 \* 23/, 'nothing that was said is in it')
  t.match(collector.requests[0], { url: '/v1/traces', headers: { 'x-team': 'agents', 'x-key': 'a b' } })

  const failed = await service.call('POST', '/api/agent/chat', { body: { message: '[[fail:401]]' } })
  t.match((await service.ended(failed.body.runId)).body, { status: 'failed', errorCode: String })
  const broken = await collector.span(
    (span) => span.name === 'run agent-chat' && span.attributes['agent_chat.run_id'] === failed.body.runId,
  )
  t.ok(broken.isError)
  t.not(broken.traceId, TRACE, 'a request without a trace begins one')

  await service.call('GET', '/readyz')
  await service.close()
  t.notOk(
    collector.spans.some(({ name }) => name.includes('readyz')),
    'probes are no news',
  )
})

test('queries of the upkeep, and the shared query of all waits, are in no trace of a request', async (t) => {
  const collector = await startCollector(t)
  const service = await startService(t, { environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } })
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })
  await service.ended(body.runId)
  await service.call('GET', `/api/agent/chat/${body.runId}?wait=1&secret=1`)
  const failed = await service.call('GET', '/api/agent/chat?limit=0')
  t.equal(failed.status, 400)
  await service.close()
  const queries = collector.spans.filter(({ name }) => name.startsWith('postgresql '))
  t.ok(queries.length > 0)
  for (const { name, parentSpanId } of queries) {
    t.ok(parentSpanId, name)
    t.notMatch(name, /states|sweeps\.(claim|lag|expire)/)
  }
  t.notMatch(collector.text(), /secret=1/, 'no query string is in a span')
})

test('a collector that is away costs neither the turn nor the end of the service', async (t) => {
  const otlp = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }
  const engine = await startEngine(t, { childEnv: loadConfig(otlp).agentEnvironment })
  const service = await startService(t, { engine, environment: otlp })
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })
  t.equal((await service.ended(body.runId)).body.status, 'completed')
  await service.close()
})

test("a worker does not take the collector of Trigger.dev, which is in its environment, for the operator's", async (t) => {
  const theirs = 'https://trigger.example/otel'
  const platform = { OTEL_EXPORTER_OTLP_ENDPOINT: theirs, TRIGGER_OTEL_EXPORTER_OTLP_ENDPOINT: theirs }
  t.equal(await workerTracing(platform)(), undefined)
  const own = { ...platform, AGENT_OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }
  t.ok(await workerTracing(own)())
})

test('without an endpoint a trace that is passed through still reaches the run', async (t) => {
  const service = await startService(t)
  t.equal(service.app.tracing, undefined)
  const traceparent = `00-${TRACE}-${CALLER}-01`
  const { body } = await service.call('POST', '/api/agent/chat', {
    body: { message: 'Hello' },
    headers: { traceparent },
  })
  await service.ended(body.runId)
  t.equal((await service.app.engine.get(body.runId))?.payload?.traceparent, traceparent)
})
