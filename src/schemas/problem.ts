import { Type } from '@sinclair/typebox'
import { PROBLEMS, type ProblemCode } from '../errors.ts'
import { oneOf, ref } from './shared.ts'

export const FaultSchema = Type.Object({
  path: Type.String({
    description: 'JSON pointer to the faulty value',
    examples: ['/message'],
  }),
  message: Type.String({ examples: ['must not be empty'] }),
  in: Type.Optional(
    oneOf(['path', 'query', 'header'], { description: 'Part of the request; the body when absent' }),
  ),
})

/** The body of every refusal (RFC 9457, `application/problem+json`). */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'Address of the description of the problem on this service' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'A sentence about this occurrence' }),
    instance: Type.String({ description: 'Path of the request' }),
    code: oneOf(Object.keys(PROBLEMS) as ProblemCode[]),
    error: Type.String({ description: 'Same as `title`, for clients of the original API' }),
    retryable: Type.Boolean({ description: 'Whether the unchanged request can succeed later' }),
    retryAfter: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Seconds to wait; present exactly when `Retry-After` is' }),
    ),
    requestId: Type.String({ description: 'Also in `X-Request-Id` and in the log of the service' }),
    errors: Type.Optional(
      Type.Array(FaultSchema, { description: 'Every fault of an invalid request; `invalid_request` only' }),
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

/**
 * Error responses for a route's schema, grouped by status: `response: { 200: Run, ...problems('run_not_found') }`.
 * Those that its declaration implies (400, 401, 403, 429, 500 …) are added by the documentation.
 * Typed as empty, so that the types of the replies stay those of the successes.
 */
export function problems(...codes: ProblemCode[]): Record<never, never> {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, grouped]) => [
      status,
      {
        description: grouped.map((code) => `\`${code}\`: ${PROBLEMS[code].what}`).join('\n\n'),
        'x-codes': grouped,
        ...(WAITING.has(status) ? { headers: { 'Retry-After': RETRY_AFTER } } : {}),
        content: { 'application/problem+json': { schema: ref(ProblemSchema) } },
      },
    ]),
  )
}

const WAITING = new Set([409, 429, 503])
const RETRY_AFTER = { type: 'integer', minimum: 1, description: 'Seconds to wait; `retryAfter` of the body' }

/** The codes that responses made by `problems` stand for. */
export function codesOf(responses: unknown): ProblemCode[] {
  return Object.values(responses ?? {}).flatMap((response) => response?.['x-codes'] ?? [])
}
