import { AsyncLocalStorage } from 'node:async_hooks'
import { ROOT_CONTEXT, type Span, type SpanOptions, type Tracer, trace } from '@opentelemetry/api'

export interface CurrentSpan {
  /** Runs `work`, and all asynchronous work that it begins, within the span. */
  within(span: Span, work: () => void): void
  /** Begins a child of the current span. Undefined outside of a span, and after the current span has ended. */
  child(name: string, options: SpanOptions): Span | undefined
}

/** Carries the span of a request to the queries that the request makes. */
export function currentSpan(tracer: Tracer): CurrentSpan {
  const storage = new AsyncLocalStorage<Span>()
  return {
    within: (span, work) => storage.run(span, work),
    child(name, options) {
      const span = storage.getStore()
      // A timer that a request has set may fire after the end of the span. The work of the timer belongs to no request.
      if (!span?.isRecording()) return undefined
      return tracer.startSpan(name, options, trace.setSpan(ROOT_CONTEXT, span))
    },
  }
}
