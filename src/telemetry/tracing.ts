import { randomUUID } from 'node:crypto'
import type { Tracer } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, NodeTracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace-node'

export interface TracingOptions {
  /** Base address of the collector; `/v1/traces` is added, as OpenTelemetry has it. */
  endpoint: string
  /** `name=value` pairs for the collector, comma-separated. */
  headers?: string | undefined
  service: string
  version: string
  onProblem(error: unknown): void
}

export interface Tracing {
  tracer: Tracer
  /** Sends what is waiting; at most 2 s. Never rejects: a trace is worth less than what it tells of. */
  flush(): Promise<void>
  /** The same, then ends. */
  end(): Promise<void>
}

const EXPORT_MS = 2_000
const GATHER_MS = 1_000

/**
 * Makes spans and sends them by OTLP (JSON over HTTP). The provider is not the process's global one: on
 * Trigger.dev that belongs to the platform. Load this module only when there is an endpoint.
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

/** OpenTelemetry drops failed exports in silence. */
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
