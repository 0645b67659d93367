import { PROBLEMS, type ProblemCode, type ProblemDetails, problem } from '../errors.ts'
import { ProblemSchema, problemOf } from '../schemas/problem.ts'
import { ref } from '../schemas/shared.ts'
import { problemBody } from './problem-body.ts'
import { sentenceOf } from './sentence.ts'

const WAITING = new Set([409, 429, 503])
const RETRY_AFTER = { type: 'integer', minimum: 1, description: 'Seconds to wait; `retryAfter` of the body' }

/**
 * The documented response for refusals of one status, with an example of the first code; `sentence` describes the
 * plain sentence beside it, which chat pages get.
 */
export function documentRefusal(
  status: number,
  codes: ProblemCode[],
  { headers = {}, sentence = false }: { headers?: object | undefined; sentence?: boolean } = {},
) {
  const [code = 'internal'] = codes
  const refusal = problem(code, EXAMPLES[code])
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].what}`).join('\n\n'),
    headers: { ...(WAITING.has(status) ? { 'Retry-After': RETRY_AFTER } : {}), ...headers },
    content: {
      'application/problem+json': {
        schema: problemOf(status, codes, ref(ProblemSchema)),
        example: problemBody(refusal, {
          id: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
          originalUrl: ADDRESSES[code] ?? '/api/agent/chat',
        }),
      },
      ...(sentence ? { 'text/plain': { schema: { type: 'string' }, example: sentenceOf(refusal) } } : {}),
    },
  }
}

const activeRunId = 'run_cmwrkineh0003z47dikyv7w07'

/** What these problems say beyond the sentence of the register. */
const EXAMPLES: Partial<Record<ProblemCode, ProblemDetails>> = {
  invalid_request: {
    detail: '`limit` must be at most 100.',
    members: { errors: [{ in: 'query', path: '/limit', message: 'must be at most 100' }] },
  },
  insufficient_scope: { detail: 'The token lacks the scope agent:write.' },
  conversation_busy: { members: { activeRunId } },
  conversation_queue_full: { members: { activeRunId } },
  conversation_changed: { members: { headMessageId: '0198c5a2-7d3f-7c66-b0a4-91d7be20c355' } },
  rate_limited: { detail: '30 starts per minute; next allowed in 12 s.', retryAfter: 12 },
  engine_unavailable: { retryAfter: 2 },
}

const ADDRESSES: Partial<Record<ProblemCode, string>> = {
  conversation_not_found: '/api/agent/conversations/0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
  invalid_stream_position: `/api/agent/chat/${activeRunId}/stream`,
  not_found: '/problems/no_such_code',
  run_not_found: `/api/agent/chat/${activeRunId}`,
  stream_expired: `/api/agent/chat/${activeRunId}/stream`,
}
