/**
 * The values of a stream, one at a time, until the stream ends or the signal aborts. The signal cancels the stream, so
 * that a read which waits for a silent network ends at once. Values that were yielded are not kept.
 */
export async function* untilAborted<T>(stream: ReadableStream<T>, signal: AbortSignal): AsyncGenerator<T> {
  const reader = stream.getReader()
  const cancel = () => {
    reader.cancel().catch(() => {}) // The stream has broken already, so it cannot be cancelled.
  }
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}
