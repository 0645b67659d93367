import { randomUUID } from 'node:crypto'
import type { Tracer } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, NodeTracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace-node'

export interface TracingOptions {
  /** Base address of the collector. `/v1/traces` is added to it, as OpenTelemetry specifies. */
  endpoint: string
  /** `name=value` pairs for the collector, comma-separated. */
  headers?: string | undefined
  service: string
  version: string
  onProblem(error: unknown): void
}

export interface Tracing {
  tracer: Tracer
  /** Sends the finished spans, for at most 2 s. Never rejects, so that a lost trace cannot fail the traced work. */
  flush(): Promise<void>
  /** Sends the finished spans, then ends the exporter. Never rejects. */
  end(): Promise<void>
}

const EXPORT_MS = 2_000
const GATHER_MS = 1_000

/**
 * Makes spans and sends them by OTLP (JSON over HTTP). The provider is not the global one of the process, which belongs
 * to the platform on Trigger.dev. Callers load this module only when there is an endpoint.
 */
export function startTracing({ endpoint, headers, service, version, onProblem }: TracingOptions): Tracing {
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/$/, '')}/v1/traces`,
    headers: headersOf(headers),
    timeoutMillis: EXPORT_MS,
  })
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({
      'service.name': service,
      'service.version': version,
      'service.instance.id': randomUUID(),
    }),
    spanProcessors: [
      new BatchSpanProcessor(told(exporter, onProblem), {
        scheduledDelayMillis: GATHER_MS,
        exportTimeoutMillis: EXPORT_MS,
      }),
    ],
  })
  return {
    tracer: provider.getTracer('agent-chat-service', version),
    flush: () => provider.forceFlush().catch(onProblem),
    end: () => provider.shutdown().catch(onProblem),
  }
}

/** The same exporter, which reports failed exports. OpenTelemetry itself drops them without a message. */
function told(exporter: SpanExporter, onProblem: (error: unknown) => void): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error !== undefined) onProblem(result.error)
        done(result)
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  }
}

function headersOf(pairs = ''): Record<string, string> {
  return Object.fromEntries(
    pairs.split(',').flatMap((pair) => {
      const at = pair.indexOf('=')
      return at < 1 ? [] : [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]]
    }),
  )
}
