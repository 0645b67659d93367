import { randomUUID } from 'node:crypto'
import { ApiConnectionError, ApiError } from '@trigger.dev/core/v3/zodfetch'
import { request } from 'undici'
import { limitOfCall } from './abortable.ts'

/** The answer points to another address. */
export const ELSEWHERE = Symbol('elsewhere')

/**
 * Sends one POST to the engine as the SDK sends it, and throws the errors that the SDK throws. `fetch`, which the SDK
 * uses, costs several times as much: the SDK builds each request twice and copies the answer. The connections are those
 * of `fetch`, with their keep-alive and their proxies.
 *
 * @returns the JSON of the answer; undefined when the answer is no JSON; ELSEWHERE for a redirect, which is not followed
 */
export async function post(url: string, headers: Record<string, string>, body: string): Promise<unknown> {
  const { status, text, ...answer } = await send(url, headers, body)
  const value = parsed(text)
  if (status >= 200 && status < 300) return value
  if (status >= 300 && status < 400) return ELSEWHERE
  throw ApiError.generate(status, value, value === undefined ? text : undefined, answer.headers)
}

async function send(url: string, headers: Record<string, string>, body: string) {
  try {
    const answer = await request(url, {
      method: 'POST',
      headers: { ...headers, 'x-trigger-request-idempotency-key': randomUUID() },
      body,
      signal: limitOfCall() ?? null,
    })
    return {
      status: answer.statusCode,
      headers: Object.fromEntries(
        Object.entries(answer.headers).map(([name, value]) => [name, String(value)]),
      ),
      text: await answer.body.text(),
    }
  } catch (error) {
    throw new ApiConnectionError({ cause: error as Error })
  }
}

function parsed(text: string): object | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
