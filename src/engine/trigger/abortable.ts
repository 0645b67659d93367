import { AsyncLocalStorage } from 'node:async_hooks'

const limits = new AsyncLocalStorage<AbortSignal>()
const plainFetch = globalThis.fetch

/**
 * The SDK calls the global `fetch` and takes no signal for its REST calls, so a request to a silent engine would keep its
 * connection for five minutes. Only requests that are made inside `abortable` are changed.
 */
globalThis.fetch = (input, init) => {
  const limit = limits.getStore()
  if (limit === undefined) return plainFetch(input, init)
  const signal = init?.signal ? AbortSignal.any([init.signal, limit]) : limit
  return plainFetch(input, { ...init, signal })
}

/** The signal that ends the call of which this code is a part; undefined outside of `abortable`. */
export const limitOfCall = (): AbortSignal | undefined => limits.getStore()

/**
 * Runs work that ends when the signal aborts. Every unfinished request of the work is aborted, its connection is closed,
 * and the result is a rejection with the signal's reason.
 */
export async function abortable<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([limits.run(signal, work), aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
