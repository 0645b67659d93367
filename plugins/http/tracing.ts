import { type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import manifest from '../../package.json' with { type: 'json' }
import type { AppConfig } from '../../src/config/config.ts'
import { isProbe } from '../../src/http/probes.ts'
import { nameInLog } from '../../src/http/request-log.ts'
import { type CurrentSpan, currentSpan } from '../../src/telemetry/current-span.ts'
import { contextOf, traceparentOf } from '../../src/telemetry/traceparent.ts'
import type { Tracing } from '../../src/telemetry/tracing.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined without OTEL_EXPORTER_OTLP_ENDPOINT. */
    tracing: Tracing | undefined
    /** The span of the request in progress; undefined without OTEL_EXPORTER_OTLP_ENDPOINT. */
    currentSpan: CurrentSpan | undefined
  }
  interface FastifyRequest {
    /** The trace context for work on this request: that of the request's span, or else that of its caller. */
    traceparent: string | undefined
  }
}

const TELL_MS = 60_000
const PATH_MAX = 1024

/** Makes a span of every request, within its caller's trace. Without an endpoint nothing is loaded. */
const tracing: FastifyPluginAsync<{ config: Pick<AppConfig, 'otlp'> }> = async (app, { config }) => {
  app.decorateRequest('traceparent', undefined)
  if (config.otlp === undefined) {
    app.decorate('tracing', undefined)
    app.decorate('currentSpan', undefined)
    app.addHook('onRequest', (request, _reply, done) => {
      const { traceparent } = request.headers
      request.traceparent = typeof traceparent === 'string' ? traceparent : undefined
      done()
    })
    return
  }

  const { startTracing } = await import('../../src/telemetry/tracing.ts')
  let toldAt = Number.NEGATIVE_INFINITY
  const traces = startTracing({
    ...config.otlp,
    service: 'agent-chat-service',
    version: manifest.version,
    onProblem(error) {
      if (performance.now() - toldAt < TELL_MS) return
      toldAt = performance.now()
      app.log.warn({ err: error }, 'traces could not be sent')
    },
  })
  app.decorate('tracing', traces)
  app.addHook('onClose', () => traces.end())
  const current = currentSpan(traces.tracer)
  app.decorate('currentSpan', current)
  const spans = new WeakMap<FastifyRequest, Span>()
  app.addHook('onRequest', (request, reply, done) => {
    const { method, headers, is404, protocol } = request
    const route = is404 ? undefined : request.routeOptions.url
    if (isProbe(route)) return done()
    const span = traces.tracer.startSpan(
      route === undefined ? method : `${method} ${route}`,
      {
        kind: SpanKind.SERVER,
        attributes: {
          'http.request.method': method,
          'url.path': pathOf(request.url),
          'url.scheme': protocol,
          ...(route === undefined ? {} : { 'http.route': route }),
          'agent_chat.request_id': request.id,
        },
      },
      contextOf(headers.traceparent),
    )
    request.traceparent = traceparentOf(span)
    nameInLog(request.log, { traceId: span.spanContext().traceId })
    reply.raw.once('close', () => {
      span.setAttribute('http.response.status_code', reply.statusCode)
      if (reply.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      if (!reply.raw.writableFinished) span.setAttribute('agent_chat.aborted', true)
      span.end()
    })
    spans.set(request, span)
    current.within(span, done)
  })
  // The body arrives in events of the connection, where the request's span is not active.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spans.get(request)
    if (span === undefined) done()
    else current.within(span, done)
  })
}

/** The path without the query, which may hold private data, and cut to a length that suits a span. */
const pathOf = (url: string): string => (url.split('?', 1)[0] ?? '').slice(0, PATH_MAX)

export default fp(tracing, { name: 'tracing', fastify: '5.x', dependencies: ['request-id'] })
