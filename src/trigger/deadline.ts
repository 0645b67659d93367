/** Gives work up when it takes too long (`signal` and deadline abort `limit`): the SDK's calls have no deadline. */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), ms)
  const limit = AbortSignal.any([signal, late.signal])
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  limit.addEventListener('abort', () => reject(limit.reason), { once: true })
  try {
    limit.throwIfAborted()
    return await Promise.race([work(limit), aborted])
  } finally {
    clearTimeout(timer)
    late.abort()
  }
}

/** Waits until work has ended or failed, at most `ms` milliseconds. Resolves with the error, if there is one. */
export async function settled(work: Promise<unknown>, ms: number): Promise<Error | undefined> {
  const late = Promise.withResolvers<Error>()
  const timer = setTimeout(() => late.resolve(new Error('not over in time')), ms)
  const end = work.then(
    () => undefined,
    (error) => (error instanceof Error ? error : new Error(String(error))),
  )
  return Promise.race([end, late.promise]).finally(() => clearTimeout(timer))
}
