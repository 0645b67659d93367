import {
  type Attributes,
  type Context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { Telemetry } from 'ai'
import manifest from '../../package.json' with { type: 'json' }
import { DEFAULT_AGENT } from '../agent/turn.ts'
import { contextOf } from './traceparent.ts'

export interface RunTracer {
  /**
   * Runs one turn within a span that continues the trace of the request. `work` gets the telemetry that makes the spans
   * of its model steps and tools. `problem` says whether its result is a failure.
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
  agent?: string | undefined
  traceparent?: string | undefined
}

/**
 * The tracer of a worker, made on first use and kept for the life of the process. Without
 * `AGENT_OTEL_EXPORTER_OTLP_ENDPOINT` it is undefined, and of OpenTelemetry the interfaces alone are loaded. The variables
 * have their own names, because Trigger.dev sets `OTEL_EXPORTER_OTLP_ENDPOINT` of its workers to its own collector and
 * ignores the value in the project's environment.
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
    async run({ runId, turnId, conversationId, agent = DEFAULT_AGENT, traceparent }, work, problem) {
      const conversation: Attributes =
        conversationId === null ? {} : { 'gen_ai.conversation.id': conversationId }
      const span = tracer.startSpan(
        'run agent-chat',
        {
          kind: SpanKind.CONSUMER,
          attributes: {
            'agent_chat.run_id': runId,
            'agent_chat.turn_id': turnId,
            'gen_ai.agent.id': agent,
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
        // Trigger.dev may freeze or end the process as soon as the run has ended.
        await flush()
      }
    },
  }
}

/** A tracer whose spans become children of the run's span when they name no parent, even under a span of the platform. */
function childrenOf(tracer: Tracer, parent: Context): Tracer {
  return {
    startSpan: (name, options, within = parent) => discreet(tracer.startSpan(name, options, within)),
    startActiveSpan: tracer.startActiveSpan.bind(tracer),
  }
}

/** The same span. Of an error it records the name only, because messages of providers and tools may quote texts. */
export function discreet(span: Span): Span {
  const record = span.recordException.bind(span)
  const setStatus = span.setStatus.bind(span)
  span.recordException = (exception, time) => {
    const name = typeof exception === 'object' && 'name' in exception ? exception.name : undefined
    record({ name: name ?? 'Error', message: '' }, time)
  }
  span.setStatus = ({ code }) => setStatus({ code })
  return span
}
