import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { problem } from '../../errors.ts'
import { isHeavy, MAX_NAMES, MAX_VALUES } from './json-weight.ts'

/**
 * Registers the only body parser: it reads JSON in well-formed UTF-8 with a bounded number of values, and refuses
 * prototype poisoning. An empty body of any content type counts as no body, which routes without a body schema accept.
 * Bodies of other types are 415.
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
      else if (isHeavy(body)) done(problem('payload_too_large', { detail: HEAVY }))
      else parse(request, body.toString(), done)
    },
  )
  // `curl -d ''` sends a content type with an empty body.
  app.addContentTypeParser('*', async (_request: unknown, payload: IncomingMessage) => {
    if (await hasContent(payload)) throw problem('unsupported_media_type')
  })
}

/** Only the log shows this sentence, because the client has closed the connection. */
export const BROKEN_OFF = 'The connection ended before the body did.'

const HEAVY = `The body has more than ${MAX_VALUES} values or ${MAX_NAMES} different names of fields.`

const ENCODED = 'Bodies are read without `Content-Encoding`.'

const isEncoded = ({ headers }: IncomingMessage) =>
  !['', 'identity'].includes((headers['content-encoding'] ?? '').trim().toLowerCase())

/** Whether a request has a body. Of a body in chunks, only the first byte or the end can tell. No byte is kept. */
function hasContent(payload: IncomingMessage): Promise<boolean> {
  return new Promise((resolve, reject) => {
    payload.once('data', () => resolve(true))
    payload.once('end', () => resolve(false))
    payload.once('error', (cause) => reject(problem('malformed_http', { detail: BROKEN_OFF, cause })))
  })
}
