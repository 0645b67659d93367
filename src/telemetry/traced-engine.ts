import { SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api'
import { DEFAULT_AGENT } from '../agent/turn.ts'
import type { RunEngine } from '../engine/run-engine.ts'
import { contextOf, traceparentOf } from './traceparent.ts'

/** The same engine with a span for every start. Its parent is the request's span, and its child is the run's span. */
export function tracedEngine(engine: RunEngine, tracer: Tracer): RunEngine {
  return {
    ...engine,
    async start(turn, options) {
      const span = tracer.startSpan(
        'engine start',
        {
          kind: SpanKind.PRODUCER,
          attributes: {
            'agent_chat.turn_id': turn.turnId,
            'gen_ai.agent.id': turn.agent ?? DEFAULT_AGENT,
            ...conversation(turn.conversationId),
          },
        },
        contextOf(turn.traceparent),
      )
      try {
        const runId = await engine.start({ ...turn, traceparent: traceparentOf(span) }, options)
        span.setAttribute('agent_chat.run_id', runId)
        return runId
      } catch (error) {
        span.setStatus({ code: SpanStatusCode.ERROR })
        throw error
      } finally {
        span.end()
      }
    },
  }
}

const conversation = (id: string | null) => (id === null ? {} : { 'gen_ai.conversation.id': id })
