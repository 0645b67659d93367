import type { FastifySchema, RouteOptions } from 'fastify'
import { PROBLEMS, type ProblemCode } from '../errors.ts'
import { codesOf, problems } from '../schemas/problem.ts'

/**
 * What the declaration of a route implies for its documentation: who may call it, and the refusals that come
 * before its handler. A status that the route describes in its own way stays as it is.
 */
export function documentRoute(schema: FastifySchema, { config = {}, method }: RouteOptions): FastifySchema {
  const isPublic = config.access === 'public'
  const codes: ProblemCode[] = ['internal', 'shutting_down']
  if (schema.params ?? schema.querystring ?? schema.headers ?? schema.body) codes.push('invalid_request')
  if (![method].flat().includes('GET'))
    codes.push('malformed_json', 'payload_too_large', 'unsupported_media_type')
  if (!isPublic) codes.push('unauthorized', 'insufficient_scope', 'rate_limited', 'key_set_unavailable')
  const own = codesOf(schema.response)
  if (own.includes('database_unavailable')) codes.push('query_timeout')
  const response = {
    ...(schema.response as object | undefined),
    ...problems(...new Set([...own, ...codes.filter((code) => !isDescribed(code, schema.response))])),
  }
  const security = isPublic ? [] : [{ bearer: [config.scope ?? ''] }]
  return { ...schema, response, security } as FastifySchema
}

function isDescribed(code: ProblemCode, responses: unknown): boolean {
  const response = ((responses ?? {}) as Record<number, object>)[PROBLEMS[code].status]
  return response !== undefined && !('x-codes' in response)
}
