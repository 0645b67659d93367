import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod/v4'

/** What answers say that come from before the API itself: no key, too many requests. */
export const PROBLEM = { 'content-type': 'application/problem+json; charset=utf-8' }

/** An answer other than 2xx; `body` as the real server words it. */
export class HttpError extends Error {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly headers: Record<string, string>

  constructor(status: number, body: Record<string, unknown>, headers: Record<string, string> = {}) {
    super(String(body.error))
    this.status = status
    this.body = body
    this.headers = headers
  }
}

/**
 * Sends a body after core's schema has accepted what the client will see of it: dates become strings and
 * undefined disappears on the way, so it is the round trip that is parsed.
 */
export function answer(reply: FastifyReply, schema: z.ZodType, body: unknown, status = 200): FastifyReply {
  const text = JSON.stringify(body)
  schema.parse(JSON.parse(text))
  return reply.code(status).type('application/json; charset=utf-8').send(text)
}

export const invalidJson = () => new HttpError(400, { error: 'Invalid JSON' })
export const bodyTooLarge = () => new HttpError(413, { error: 'Request body too large' })

/** 404 of the routes that look a run up in a replica: the SDK is told to try again. */
export const notFound = (retry: boolean, headers: Record<string, string> = {}) =>
  new HttpError(404, { error: 'Not found' }, { 'x-should-retry': String(retry), ...headers })

export const endpointOf = ({ method, url }: FastifyRequest) => `${method} ${url.split('?')[0]}`

/** What this engine lacks; another try would not help. */
export const notImplemented = (what: string) =>
  new HttpError(501, { error: `The local engine does not implement ${what}` }, { 'x-should-retry': 'false' })

export const unauthorized = () =>
  new HttpError(403, {
    error: 'Unauthorized',
    code: 'unauthorized',
    param: 'access_token',
    type: 'authorization',
  })

/** A body that breaks its schema, in the words of zod 3 and zod-validation-error, which the real server uses. */
export function invalidBody(error: z.ZodError): HttpError {
  const issues = error.issues.map(({ message, path }) => {
    const text = message.replace(/^Invalid input: expected (\w+), received/, 'Expected $1, received')
    return path.length ? `${text} at "${path.join('.')}"` : text
  })
  return new HttpError(400, { error: `Validation error: ${issues.join('; ')}` })
}
