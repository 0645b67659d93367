import { Problem, type ProblemCode, problem } from '../errors.ts'
import { BROKEN_OFF } from './validation/json-body.ts'

/** Fastify's own errors. One that is not listed and not a 4xx is a fault of this service. */
const FASTIFY_ERRORS: Record<string, ProblemCode> = {
  FST_ERR_NOT_FOUND: 'not_found',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed_json',
}

/** Turns anything that was thrown into a problem of the register. Only a Problem's own words reach the caller. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown }
  const known = typeof code === 'string' ? FASTIFY_ERRORS[code] : undefined
  if (known !== undefined) return problem(known, { cause: error })
  // Fastify gives the error of a broken request body a status. An ECONNRESET of another connection has no status.
  if (code === 'ECONNRESET' && statusCode === 400)
    return problem('malformed_http', { detail: BROKEN_OFF, cause: error })
  const ofFastify = typeof code === 'string' && code.startsWith('FST_')
  if (ofFastify && typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return problem('invalid_request', { cause: error })
  }
  return problem('internal', { cause: error })
}
