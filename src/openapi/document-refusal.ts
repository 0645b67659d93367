import { PROBLEMS, type ProblemCode, type ProblemDetails, problem } from '../errors.ts'
import { problemBody } from '../http/problem-body.ts'
import { sentenceOf } from '../http/sentence.ts'
import { problemOf } from '../schemas/problem.ts'

const WAITING = new Set([409, 429, 503])
const RETRY_AFTER = { type: 'integer', minimum: 1, description: 'Seconds to wait; `retryAfter` of the body' }

interface Documented {
  headers?: object | undefined
  /** Describes the plain sentence too, which chat pages get. */
  sentence?: boolean
  /** Path of PUBLIC_URL, without a slash at its end. */
  base: string
}

/** The documented response for refusals of one status, with an example of the first code. */
export function documentRefusal(
  status: number,
  codes: ProblemCode[],
  { headers = {}, sentence = false, base }: Documented,
) {
  const [code = 'internal'] = codes
  const refusal = problem(code, EXAMPLES[code])
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].what}`).join('\n\n'),
    headers: { ...(WAITING.has(status) ? { 'Retry-After': RETRY_AFTER } : {}), ...headers },
    content: {
      'application/problem+json': {
        schema: problemOf(codes),
        example: problemBody(
          refusal,
          { id: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f', originalUrl: ADDRESSES[code] ?? '/api/agent/chat' },
          base,
        ),
      },
      ...(sentence ? { 'text/plain': { schema: { type: 'string' }, example: sentenceOf(refusal) } } : {}),
    },
  }
}

const activeRunId = 'run_cmwrkineh0003z47dikyv7w07'

/** Details that the examples of these problems show beside the sentence of the register. */
const EXAMPLES: Partial<Record<ProblemCode, ProblemDetails>> = {
  invalid_request: {
    detail: '`limit` must be at most 100.',
    members: { errors: [{ in: 'query', path: '/limit', message: 'must be at most 100' }] },
  },
  insufficient_scope: { detail: 'The token lacks the scope agent:write.' },
  conversation_busy: { members: { activeRunId } },
  conversation_queue_full: { members: { activeRunId } },
  turn_not_last: { members: { headMessageId: '0198c5a2-7d3f-7c66-b0a4-91d7be20c355', supersededBy: null } },
  action_decided: {
    members: { decision: { status: 'denied', decidedAt: '2026-11-23T09:16:02.108Z', decidedBy: 'ada' } },
  },
  conversation_changed: { members: { headMessageId: '0198c5a2-7d3f-7c66-b0a4-91d7be20c355' } },
  rate_limited: { detail: '30 starts per minute; next allowed in 12 s.', retryAfter: 12 },
  too_many_streams: { detail: '100 connections of this user are open.', retryAfter: 5 },
  engine_unavailable: { retryAfter: 2 },
}

const ADDRESSES: Partial<Record<ProblemCode, string>> = {
  conversation_not_found: '/api/agent/conversations/0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
  invalid_stream_position: `/api/agent/chat/${activeRunId}/stream`,
  not_found: '/problems/no_such_code',
  run_not_found: `/api/agent/chat/${activeRunId}`,
  stream_expired: `/api/agent/chat/${activeRunId}/stream`,
}
