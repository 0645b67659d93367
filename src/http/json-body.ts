import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { problem } from '../errors.ts'

/**
 * The only body parser: JSON in well-formed UTF-8. Prototype poisoning is refused; an empty body is no body,
 * which routes without a body schema tolerate whatever the content type says. Bodies of other types are 415.
 */
export function acceptOnlyJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    (request, body: Buffer, done) => {
      if (body.length === 0) done(null, undefined)
      else if (isEncoded(request.raw)) done(problem('unsupported_media_type', { detail: ENCODED }))
      else if (!isUtf8(body)) done(problem('malformed_json', { detail: 'The body is not UTF-8.' }))
      else parse(request, body.toString(), done)
    },
  )
  // `curl -d ''` names a type though there is nothing of it.
  app.addContentTypeParser('*', async (_request: unknown, payload: IncomingMessage) => {
    if (await hasContent(payload)) throw problem('unsupported_media_type')
  })
}

/** Nobody reads it but the log: the client is gone. */
export const BROKEN_OFF = 'The connection ended before the body did.'

const ENCODED = 'Bodies are read without `Content-Encoding`.'

const isEncoded = ({ headers }: IncomingMessage) =>
  !['', 'identity'].includes((headers['content-encoding'] ?? '').trim().toLowerCase())

/** Of a body in chunks only its first byte, or its end, tells whether there is one. The rest is not kept. */
function hasContent(payload: IncomingMessage): Promise<boolean> {
  return new Promise((resolve, reject) => {
    payload.once('data', () => resolve(true))
    payload.once('end', () => resolve(false))
    payload.once('error', (cause) => reject(problem('malformed_http', { detail: BROKEN_OFF, cause })))
  })
}
