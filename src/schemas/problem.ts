import { type TProperties, Type } from '@sinclair/typebox'
import { PROBLEMS, type ProblemCode } from '../errors.ts'
import { oneOf, ref } from './shared.ts'

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

const orNull = (description: string) => Type.Unsafe<string | null>({ type: ['string', 'null'], description })

/** What only some problems say. */
const members = {
  errors: Type.Array(Fault, { description: 'Every fault of an invalid request; `invalid_request` only' }),
  activeRunId: orNull(
    'Oldest unfinished run of the conversation, null while it has no id; `conversation_busy` and `conversation_queue_full` only',
  ),
  headMessageId: orNull(
    'Newest message of the conversation; `conversation_changed` and `turn_not_last` only',
  ),
  supersededBy: orNull(
    'The run that has replaced the named one; null when none has, or while it has no id; `turn_not_last` only',
  ),
  decision: Type.Object(
    {
      status: oneOf(['approved', 'denied', 'answered', 'expired']),
      decidedAt: Type.String({ format: 'date-time' }),
      decidedBy: Type.Optional(Type.String({ description: 'The user who decided' })),
    },
    { 'x-name': 'Decision', description: 'What was decided; `action_decided` only' },
  ),
}

const { errors, activeRunId, headMessageId, supersededBy, decision } = members
const MEMBERS: Partial<Record<ProblemCode, TProperties>> = {
  invalid_request: { errors },
  conversation_busy: { activeRunId },
  conversation_queue_full: { activeRunId },
  conversation_changed: { headMessageId },
  turn_not_last: { headMessageId, supersededBy },
  action_decided: { decision },
}

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
    ...Type.Partial(Type.Object(members)).properties,
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
 * `documentRoute` adds those that the declaration of the route implies (400, 401, 403, 429, 500 …).
 * The type of the result is empty, so that the types of the replies stay those of the successes.
 */
export function problems(...codes: ProblemCode[]): Record<never, never> {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status)
  return Object.fromEntries([...byStatus].map(([status, grouped]) => [status, { 'x-codes': grouped }]))
}

/** The only refusals of a public address without parameters: those of requests that are not HTTP. */
export const NO_HTTP = ['malformed_http', 'headers_too_large'] as const satisfies ProblemCode[]

/** The same refusals, each with these headers, which the handler has set before it refuses. */
export function withHeaders(headers: Headers, refusals: Record<never, never>): Record<never, never> {
  return Object.fromEntries(
    Object.entries(refusals).map(([status, refusal]) => [status, { ...(refusal as Refusal), headers }]),
  )
}

export const isRefusal = (response: unknown): response is Refusal =>
  typeof response === 'object' && response !== null && 'x-codes' in response

/** The problem of one code: the document has it once, as `RunNotFoundProblem`. */
const variant = (code: ProblemCode) => {
  const { status, title } = PROBLEMS[code]
  const own = MEMBERS[code] ?? {}
  return {
    'x-name': problemName(code),
    description: title,
    allOf: [
      ref(ProblemSchema),
      {
        type: 'object',
        required: ['status', 'code', ...Object.keys(own)],
        properties: { status: { type: 'integer', enum: [status] }, code: oneOf([code]), ...own },
      },
    ],
  }
}

const problemName = (code: string) =>
  `${code.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Problem`

/** The schema of a refusal that can have these codes only, told apart by the code. */
export const problemOf = (codes: ProblemCode[]) =>
  codes.length === 1
    ? codes.map(variant)[0]
    : {
        oneOf: codes.map(variant),
        discriminator: {
          propertyName: 'code',
          mapping: Object.fromEntries(
            codes.map((code) => [code, `#/components/schemas/${problemName(code)}`]),
          ),
        },
      }
