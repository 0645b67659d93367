import { type ApiClient, apiClientManager } from '@trigger.dev/core/v3'
import { auth } from '@trigger.dev/sdk'

/** One attempt for each call of the SDK: `EngineCalls` repeats, within a deadline. */
export const NO_SDK_RETRY = { retry: { maxAttempts: 1 } }

/** Runs work in which the SDK calls this one engine. One process may use two engines. */
export type Scope = <T>(work: () => Promise<T>) => Promise<T>

export function scopeOf({ secretKey, apiUrl }: { secretKey: string; apiUrl: string }): Scope {
  return <T>(work: () => Promise<T>) =>
    auth.withAuth({ accessToken: secretKey, baseURL: apiUrl }, work) as Promise<T>
}

/** The SDK's client of the scope: its address and its headers. */
export const clientOf = (scope: Scope): Promise<ApiClient> =>
  scope(async () => apiClientManager.clientOrThrow())

/**
 * The raw answer to a call, for calls whose answer the SDK may refuse: it refuses a whole page of runs over one value
 * that it does not know. `parsing.ts` reads what is returned.
 */
export async function unchecked(request: PromiseLike<unknown>): Promise<unknown> {
  try {
    return await request
  } catch (error) {
    const { status, rawBody } = (error ?? {}) as { status?: unknown; rawBody?: unknown }
    if (status === 200 && typeof rawBody === 'object' && rawBody !== null) return rawBody
    throw error
  }
}

/** Fails a call that was answered with 200 and an unreadable body, because another server stands at the address. */
export function unreadable(): never {
  throw Object.assign(new Error('The answer of the engine could not be read.'), { status: 200 })
}
