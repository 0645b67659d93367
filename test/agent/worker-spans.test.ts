import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import t from 'tap'
import { discreet } from '../../src/telemetry/worker-tracing.ts'

t.test('a span tells the kind of an error, and none of its words', async (t) => {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const span = discreet(provider.getTracer('test').startSpan('chat some-model'))
  span.recordException(new TypeError('MARKER'))
  span.recordException('MARKER')
  span.setStatus({ code: 2, message: 'MARKER' })
  span.end()
  const [{ events = [], status } = {}] = exporter.getFinishedSpans()
  t.match(events, [{ attributes: { 'exception.type': 'TypeError' } }, {}])
  t.same(status, { code: 2 })
  t.notMatch(JSON.stringify(events), /MARKER/)
})
