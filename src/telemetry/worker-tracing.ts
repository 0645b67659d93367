import {
  type Attributes,
  type Context,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { Telemetry } from 'ai'
import manifest from '../../package.json' with { type: 'json' }
import { contextOf } from './traceparent.ts'

export interface RunTracer {
  /**
   * Runs one turn within a span that continues the trace of the request. `work` gets what makes the spans of
   * its model steps and tools, and says at its end what became of the turn.
   */
  run<T>(
    run: TracedRun,
    work: (telemetry: Telemetry) => Promise<T>,
    problem: (result: T) => string | undefined,
  ): Promise<T>
}

export interface TracedRun {
  runId: string
  turnId: string
  conversationId: string | null
  traceparent?: string | undefined
}

/**
 * The tracer of a worker, made on first use and kept with the process; undefined without
 * `AGENT_OTEL_EXPORTER_OTLP_ENDPOINT`, and then nothing of OpenTelemetry is loaded but its interfaces. Names of its
 * own, because Trigger.dev sets `OTEL_EXPORTER_OTLP_ENDPOINT` of its workers to its own collector, over whatever the
 * project's environment says.
 */
export function workerTracing(
  environment: Record<string, string | undefined>,
): () => Promise<RunTracer | undefined> {
  const { AGENT_OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, AGENT_OTEL_EXPORTER_OTLP_HEADERS: headers } =
    environment
  if (!endpoint) return async () => undefined
  let made: Promise<RunTracer> | undefined
  return () => {
    made ??= makeTracer(endpoint, headers)
    return made
  }
}

async function makeTracer(endpoint: string, headers: string | undefined): Promise<RunTracer> {
  const [{ startTracing }, { OpenTelemetry }] = await Promise.all([
    import('./tracing.ts'),
    import('@ai-sdk/otel'),
  ])
  const { tracer, flush } = startTracing({
    endpoint,
    headers,
    service: 'agent-chat-worker',
    version: manifest.version,
    onProblem: (error) =>
      console.warn('traces could not be sent:', error instanceof Error ? error.message : error),
  })
  return {
    async run({ runId, turnId, conversationId, traceparent }, work, problem) {
      const conversation: Attributes =
        conversationId === null ? {} : { 'gen_ai.conversation.id': conversationId }
      const span = tracer.startSpan(
        'run agent-chat',
        {
          kind: SpanKind.CONSUMER,
          attributes: {
            'agent_chat.run_id': runId,
            'agent_chat.turn_id': turnId,
            ...conversation,
          },
        },
        contextOf(traceparent),
      )
      const inside = trace.setSpan(contextOf(traceparent), span)
      try {
        const telemetry = new OpenTelemetry({
          tracer: childrenOf(tracer, inside),
          // `functionId` is the agent's name (`createAgent`); by default the span has the model's name.
          agentSpanName: 'functionId',
          enrichSpan: () => conversation,
        })
        const result = await work(telemetry)
        const message = problem(result)
        if (message !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message })
        return result
      } catch (error) {
        span.setStatus({ code: SpanStatusCode.ERROR })
        throw error
      } finally {
        span.end()
        // The process may be frozen or ended as soon as the run is over.
        await flush()
      }
    },
  }
}

/** Spans that name no parent belong to the run, whatever span the platform itself has open. */
function childrenOf(tracer: Tracer, parent: Context): Tracer {
  return {
    startSpan: (name, options, within = parent) => tracer.startSpan(name, options, within),
    startActiveSpan: tracer.startActiveSpan.bind(tracer),
  }
}
