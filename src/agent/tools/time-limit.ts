import { ToolError } from './tool-error.ts'

/**
 * Runs work with a time limit. Work that ignores its signal goes on after the limit, and its result is dropped.
 * @throws ToolError when the time is up; the reason of `signal` when it aborts
 */
export async function withinTime<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const stop = () => reject(signal.reason)
  const timer = setTimeout(() => {
    const error = new ToolError(`The tool did not end within ${ms / 1000} s.`)
    late.abort(error)
    reject(error)
  }, ms)
  signal.addEventListener('abort', stop, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([work(AbortSignal.any([signal, late.signal])), ended])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
