import type { Problem } from './types.ts'

/** What the client itself reports: an outcome for which there is no problem of the service. */
export interface ClientProblem {
  /**
   * `connection_failed`: the service did not answer. `deadline_exceeded`: the call took longer than its deadline.
   * `unexpected_answer`: something between the client and the service has answered. `invalid_webhook`: a delivery
   * that was not signed with this secret, or not now.
   */
  code: 'connection_failed' | 'deadline_exceeded' | 'unexpected_answer' | 'invalid_webhook'
  /** Status of the answer; 0 when there was none. */
  status: number
  title: string
  detail: string
  retryable: boolean
  retryAfter?: number
  requestId?: string
}

interface ErrorOptions {
  /** How often the request was sent. */
  attempts: number
  cause?: unknown
}

class CallError extends Error {
  override readonly name = 'AgentChatError'
  readonly attempts: number

  constructor(problem: Problem | ClientProblem, { attempts, cause }: ErrorOptions) {
    super(problem.detail, { cause })
    this.attempts = attempts
    Object.assign(this, problem)
  }
}

/**
 * Why a call did not succeed, with all members of the problem: branch on `code`, which also tells TypeScript the
 * members that only this problem has.
 */
export type AgentChatError = CallError & (Problem | ClientProblem)
export const AgentChatError = CallError as unknown as {
  readonly prototype: AgentChatError
  new (problem: Problem | ClientProblem, options: ErrorOptions): AgentChatError
}

const TITLES: Record<ClientProblem['code'], string> = {
  connection_failed: 'Connection failed',
  deadline_exceeded: 'Deadline exceeded',
  unexpected_answer: 'Unexpected answer',
  invalid_webhook: 'Invalid webhook',
}

/** A problem of the client's own. */
export const clientProblem = (
  code: ClientProblem['code'],
  detail: string,
  members: Partial<ClientProblem> = {},
): ClientProblem => ({
  code,
  status: 0,
  title: TITLES[code],
  detail,
  retryable: code === 'connection_failed',
  ...members,
})

const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504])

/** The problem that an answer holds. What is not the service's own becomes `unexpected_answer`. */
export function problemOf(response: Response, text: string): Problem | ClientProblem {
  const { status, headers } = response
  if (headers.get('content-type')?.startsWith('application/problem+json')) {
    const problem = parsed(text)
    if (isProblem(problem)) return problem
  }
  const retryAfter = Number.parseInt(headers.get('retry-after') ?? '', 10)
  const requestId = headers.get('x-request-id')
  return clientProblem(
    'unexpected_answer',
    `The answer has the status ${status} and no problem of the service.`,
    {
      status,
      retryable: TEMPORARY.has(status),
      ...(retryAfter > 0 ? { retryAfter } : {}),
      ...(requestId === null ? {} : { requestId }),
    },
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' &&
  value !== null &&
  'code' in value &&
  typeof value.code === 'string' &&
  'retryable' in value &&
  typeof value.retryable === 'boolean'
