import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4StreamPart,
  LanguageModelV4StreamResult,
} from '@ai-sdk/provider'

export interface Opened {
  result: LanguageModelV4StreamResult
  /** The model failed within its stream, before the first word. */
  failure?: { error: unknown }
  /** Cancels the read of the model's stream. */
  cancel(): Promise<void>
}

/** Whether the part is a word of the answer, or the end of an answer without words. */
function isWord(part: LanguageModelV4StreamPart): boolean {
  if (part.type === 'text-delta' || part.type === 'reasoning-delta') return part.delta !== ''
  return part.type === 'tool-input-start' || part.type === 'tool-call' || part.type === 'finish'
}

/**
 * Calls the model and waits for its first word; reasoning and tool calls count as words. Until then the chain may ask
 * another model. The AI SDK's own deadlines begin with the response, so none of them ends the wait for a response that
 * never comes.
 * @param ms milliseconds until the first word
 * @throws the provider's refusal; `TimeoutError`
 */
export async function openStream(
  model: LanguageModelV4,
  options: LanguageModelV4CallOptions,
  ms: number,
): Promise<Opened> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(new DOMException('No word in time', 'TimeoutError')), ms)
  const { abortSignal } = options
  const signal = abortSignal === undefined ? late.signal : AbortSignal.any([abortSignal, late.signal])
  try {
    const result = await orAborted(model.doStream({ ...options, abortSignal: signal }), signal)
    const reader = result.stream.getReader()
    const parts: LanguageModelV4StreamPart[] = []
    let failure: Opened['failure']
    for (;;) {
      const { done, value } = await orAborted(reader.read(), signal)
      if (done) break
      parts.push(value)
      if (value.type === 'error') failure = { error: value.error }
      if (failure || isWord(value)) break
    }
    const stream = continued(parts, reader)
    return { result: { ...result, stream }, cancel: () => reader.cancel(), ...(failure ? { failure } : {}) }
  } finally {
    clearTimeout(timer)
  }
}

/** The parts that were read ahead, then the rest. */
function continued(
  parts: LanguageModelV4StreamPart[],
  reader: ReadableStreamDefaultReader<LanguageModelV4StreamPart>,
): ReadableStream<LanguageModelV4StreamPart> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part)
    },
    async pull(controller) {
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

/** Rejects as soon as the signal aborts, because reads of some responses notice an abort late. */
function orAborted<T>(work: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', abort))
}
