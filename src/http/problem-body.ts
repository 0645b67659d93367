import { PROBLEMS, type Problem } from '../errors.ts'

/** The body of a refusal, in the one shape that every client can rely on (RFC 9457). */
export function problemBody(problem: Problem, request: { id: string; url: string }) {
  const { title, status, what } = PROBLEMS[problem.code]
  const { detail, retryAfter, members, retryable = PROBLEMS[problem.code].retryable } = problem.details
  return {
    type: `/problems/${problem.code}`,
    title,
    status,
    detail: detail ?? what,
    instance: request.url.split('?', 1)[0],
    code: problem.code,
    error: title,
    retryable,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    requestId: request.id,
    ...members,
  }
}
