import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
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
      else if (!isUtf8(body)) done(problem('malformed_json', { detail: 'The body is not UTF-8.' }))
      else parse(request, body.toString(), done)
    },
  )
  // `curl -d ''` names a type though there is nothing of it.
  app.addContentTypeParser('*', (request, _payload, done) => {
    done(hasBody(request) ? problem('unsupported_media_type') : null, undefined)
  })
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
