import { type TSchema, Type } from '@sinclair/typebox'
import { PROBLEMS, type ProblemCode } from '../errors.ts'
import { oneOf } from './shared.ts'

const Fault = Type.Object(
  {
    path: Type.String({ description: 'JSON pointer to the faulty value', examples: ['/message'] }),
    message: Type.String({ examples: ['must not be empty'] }),
    in: Type.Optional(
      oneOf(['path', 'query', 'header'], { description: 'Part of the request; the body when absent' }),
    ),
  },
  { 'x-name': 'Fault', description: 'One fault of a request' },
)

/** The body of every refusal (RFC 9457, `application/problem+json`). */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'Address of the explanation on this service: `/problems/{code}`' }),
    title: Type.String({ description: 'The same for every problem of this code' }),
    status: Type.Integer({ description: 'The status of the answer' }),
    detail: Type.String({ description: 'A sentence about this occurrence' }),
    instance: Type.String({ description: 'Path of the request' }),
    code: oneOf(Object.keys(PROBLEMS) as ProblemCode[], {
      'x-name': 'ProblemCode',
      description: 'What happened. `GET /problems/{code}` explains it',
    }),
    error: Type.String({ description: 'Same as `title`, for clients of the original API' }),
    retryable: Type.Boolean({ description: 'Whether the unchanged request can succeed later' }),
    retryAfter: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Seconds to wait; present exactly when `Retry-After` is' }),
    ),
    requestId: Type.String({ description: 'Also in `X-Request-Id` and in the log of the service' }),
    errors: Type.Optional(
      Type.Array(Fault, { description: 'Every fault of an invalid request; `invalid_request` only' }),
    ),
    activeRunId: Type.Optional(
      Type.Unsafe<string | null>({
        type: ['string', 'null'],
        description:
          'Oldest unfinished run of the conversation, null while it has no id; `conversation_busy` and `conversation_queue_full` only',
      }),
    ),
    headMessageId: Type.Optional(
      Type.Unsafe<string | null>({
        type: ['string', 'null'],
        description: 'Newest message of the conversation; `conversation_changed` only',
      }),
    ),
  },
  { $id: 'Problem', description: 'A refusal (RFC 9457)' },
)

/** The refusals of one status, as a route declares them. `documentRoute` makes a whole response of it. */
export interface Refusal {
  'x-codes': ProblemCode[]
  headers?: Headers
}

type Headers = Record<string, object>

/**
 * Refusals for a route's schema, grouped by status: `response: { 200: Run, ...problems('run_not_found') }`.
 * Those that the declaration of the route implies (400, 401, 403, 429, 500 …) are added by the documentation.
 * Typed as empty, so that the types of the replies stay those of the successes.
 */
export function problems(...codes: ProblemCode[]): Record<never, never> {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status)
  return Object.fromEntries([...byStatus].map(([status, grouped]) => [status, { 'x-codes': grouped }]))
}

/** All that the request of a public address without parameters can do wrong: it is not HTTP. */
export const NO_HTTP = ['malformed_http', 'headers_too_large'] as const satisfies ProblemCode[]

/** The same refusals, each with these headers: the handler had set them before it refused. */
export function withHeaders(headers: Headers, refusals: Record<never, never>): Record<never, never> {
  return Object.fromEntries(
    Object.entries(refusals).map(([status, refusal]) => [status, { ...(refusal as Refusal), headers }]),
  )
}

export const isRefusal = (response: unknown): response is Refusal =>
  typeof response === 'object' && response !== null && 'x-codes' in response

/** The schema of a refusal that can have these codes only. */
export const problemOf = (status: number, codes: ProblemCode[], problem: TSchema) => ({
  allOf: [
    problem,
    {
      type: 'object',
      required: ['status', 'code'],
      properties: { status: { type: 'integer', enum: [status] }, code: { type: 'string', enum: codes } },
    },
  ],
})
