import { performance } from 'node:perf_hooks'
import { SignJWT } from 'jose'

export interface Reply {
  /** The status, or how the request failed without one: `refused` before it was sent, `broken` after. */
  outcome: number | 'refused' | 'broken'
  // biome-ignore lint/suspicious/noExplicitAny: the trial reads fields of bodies without a type
  body: any
  milliseconds: number
}

export type Caller = ReturnType<typeof caller>

/** Calls an instance as one of a hundred users. */
export function caller(secret: string) {
  const tokens = new Map<string, Promise<string>>()
  const tokenOf = (user: string) => {
    const known = tokens.get(user)
    if (known !== undefined) return known
    const made = new SignJWT({ scope: 'agent:read agent:write' })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(user)
      .setExpirationTime('1h')
      .sign(Buffer.from(secret))
    tokens.set(user, made)
    return made
  }

  const headers = async (user: string) => ({
    authorization: `Bearer ${await tokenOf(user)}`,
    'content-type': 'application/json',
  })

  async function call(
    url: string,
    user: string,
    method: string,
    path: string,
    body?: object,
  ): Promise<Reply> {
    const since = performance.now()
    const reply = (outcome: Reply['outcome'], content: unknown = undefined) => ({
      outcome,
      body: content,
      milliseconds: performance.now() - since,
    })
    try {
      const response = await fetch(url + path, {
        method,
        headers: await headers(user),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return reply(response.status, text === '' ? undefined : JSON.parse(text))
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
      return reply(code === 'ECONNREFUSED' ? 'refused' : 'broken', String(cause ?? error))
    }
  }

  return { call, headers }
}
