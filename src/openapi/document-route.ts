import type { FastifySchema, RouteOptions } from 'fastify'
import { PROBLEMS, type ProblemCode } from '../errors.ts'
import { canBeSentence } from '../http/sentence.ts'
import { isRefusal, type Refusal } from '../schemas/problem.ts'
import { documentRefusal } from './document-refusal.ts'

type Response = { content?: object; [field: string]: unknown }

/**
 * Completes the schema of a route for the API description by what the route's declaration implies: who may call the
 * route, and the refusals that come before its handler.
 *
 * @param base path of PUBLIC_URL, without a slash at its end
 */
export function documentRoute(schema: FastifySchema, route: RouteOptions, base: string): FastifySchema {
  const responses = Object.entries((schema.response ?? {}) as Record<string, Response | Refusal>)
  const own = responses.flatMap(([, response]) => (isRefusal(response) ? response['x-codes'] : []))
  const codes = new Set([...own, ...impliedCodes(schema, route)])
  if (codes.has('database_unavailable')) codes.add('query_timeout')
  const documented: Record<string, Response> = Object.fromEntries(
    responses.flatMap(([status, response]) => (isRefusal(response) ? [] : [[status, response]])),
  )
  for (const [status, grouped] of Map.groupBy(codes, (code) => PROBLEMS[code].status)) {
    const declared = responses.find(([key]) => key === String(status))?.[1]
    const refusal = documentRefusal(status, grouped, {
      headers: isRefusal(declared) ? declared.headers : {},
      sentence: canBeSentence(route.url),
      base,
    })
    // A probe that says "not ready" has a body of its own with the same status.
    documented[status] = { ...refusal, ...documented[status] }
    documented[status].content = { ...documented[status].content, ...refusal.content }
  }
  const security = isPublic(route) ? [] : [{ bearer: [route.config?.scope ?? ''] }]
  return { ...schema, response: documented, security } as FastifySchema
}

function impliedCodes(schema: FastifySchema, route: RouteOptions): ProblemCode[] {
  const { params, querystring, headers, body } = schema
  const codes: ProblemCode[] = ['internal', 'shutting_down']
  if (params ?? querystring ?? headers ?? body) codes.push('invalid_request')
  if (![route.method].flat().includes('GET'))
    codes.push('malformed_json', 'payload_too_large', 'unsupported_media_type')
  if (!isPublic(route))
    codes.push('unauthorized', 'insufficient_scope', 'rate_limited', 'key_set_unavailable')
  return codes
}

const isPublic = ({ config }: RouteOptions) => config?.access === 'public'
