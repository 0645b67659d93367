import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod/v4'

/** The content type of answers to requests that do not reach the API: a missing key, too many requests. */
export const PROBLEM = { 'content-type': 'application/problem+json; charset=utf-8' }

/** An answer other than 2xx, with the body that a real server sends. */
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
 * Sends a body after core's schema has accepted it as the client will see it. JSON turns dates into strings and drops
 * undefined fields, so the schema parses the body after a round trip through JSON.
 */
export function answer(reply: FastifyReply, schema: z.ZodType, body: unknown, status = 200): FastifyReply {
  const text = JSON.stringify(body)
  schema.parse(JSON.parse(text))
  return reply.code(status).type('application/json; charset=utf-8').send(text)
}

export const invalidJson = () => new HttpError(400, { error: 'Invalid JSON' })
export const bodyTooLarge = () => new HttpError(413, { error: 'Request body too large' })

/** The 404 of a route that reads from a replica on a real server. A header tells the SDK whether to try again. */
export const notFound = (retry: boolean, headers: Record<string, string> = {}) =>
  new HttpError(404, { error: 'Not found' }, { 'x-should-retry': String(retry), ...headers })

export const endpointOf = ({ method, url }: FastifyRequest) => `${method} ${url.split('?')[0]}`

/** The answer of an endpoint or option that the local engine lacks. A header tells the SDK not to try again. */
export const notImplemented = (what: string) =>
  new HttpError(501, { error: `The local engine does not implement ${what}` }, { 'x-should-retry': 'false' })

export const unauthorized = () =>
  new HttpError(403, {
    error: 'Unauthorized',
    code: 'unauthorized',
    param: 'access_token',
    type: 'authorization',
  })

/** 400 for a body that breaks its schema, in the words of zod 3 and zod-validation-error, which a real server uses. */
export function invalidBody(error: z.ZodError): HttpError {
  const issues = error.issues.map(({ message, path }) => {
    const text = message.replace(/^Invalid input: expected (\w+), received/, 'Expected $1, received')
    return path.length ? `${text} at "${path.join('.')}"` : text
  })
  return new HttpError(400, { error: `Validation error: ${issues.join('; ')}` })
}
