import { AsyncLocalStorage } from 'node:async_hooks'

const limits = new AsyncLocalStorage<AbortSignal>()
const plainFetch = globalThis.fetch

/**
 * The SDK calls the global `fetch` and takes no signal for its REST calls, so a request to an engine that stays
 * silent would keep its connection for five minutes. Only requests made inside `abortable` are changed.
 */
globalThis.fetch = (input, init) => {
  const limit = limits.getStore()
  if (limit === undefined) return plainFetch(input, init)
  const signal = init?.signal ? AbortSignal.any([init.signal, limit]) : limit
  return plainFetch(input, { ...init, signal })
}

/**
 * Does work that ends when the signal aborts: every request that the work has made and not finished is aborted,
 * its connection is closed, and the result is a rejection with the signal's reason.
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
