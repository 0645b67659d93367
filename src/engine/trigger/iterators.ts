/**
 * The values of a stream, one at a time, until it ends or the signal aborts; then the stream is cancelled, and a read
 * that waits for a silent network ends at once. Nothing that was yielded is kept.
 */
export async function* untilAborted<T>(stream: ReadableStream<T>, signal: AbortSignal): AsyncGenerator<T> {
  const reader = stream.getReader()
  const cancel = () => {
    reader.cancel().catch(() => {}) // The stream has broken already: nothing is left to be cancelled.
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
