import { type Fault, PROBLEMS, type Problem } from '../errors.ts'
import { shortened } from './shortened.ts'
import { asReference, targetPath } from './target.ts'

/** The facts about a request that its refusal repeats. */
export interface RefusedRequest {
  id: string
  /** The target of the request as the client sent it. */
  originalUrl: string
}

/** Bounds a refusal to about 16 KiB, so that a client that does not read the refusal occupies little memory. */
const MAX_FAULTS_BYTES = 12 * 1024
const MAX_FAULTS = 100

/**
 * The body of a refusal, in the one shape that every client can rely on (RFC 9457).
 *
 * @param base path of PUBLIC_URL, without a slash at its end
 */
export function problemBody(problem: Problem, { id, originalUrl }: RefusedRequest, base = '') {
  const { title, status, what } = PROBLEMS[problem.code]
  const {
    detail,
    retryAfter,
    members: { errors, ...members } = {},
    retryable = PROBLEMS[problem.code].retryable,
  } = problem.details
  const path = targetPath(originalUrl)
  return {
    type: `${base}/problems/${problem.code}`,
    title,
    status,
    detail: shortened(detail ?? what),
    instance: shortened(path === '' ? '' : asReference(base + path)),
    code: problem.code,
    error: title,
    retryable,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    requestId: id,
    ...members,
    ...(errors === undefined ? {} : { errors: capped(errors) }),
  }
}

/** As many faults as fit into the bounds. The last entry counts the faults that were left out. */
function capped(faults: Fault[]): Fault[] {
  const listed: Fault[] = []
  let bytes = 0
  for (const fault of faults) {
    const short = { ...fault, path: shortened(fault.path), message: shortened(fault.message) }
    bytes += Buffer.byteLength(JSON.stringify(short))
    if (listed.length === MAX_FAULTS - 1 || bytes > MAX_FAULTS_BYTES) break
    listed.push(short)
  }
  const left = faults.length - listed.length
  if (left > 0) listed.push({ path: '', message: `and ${left} more` })
  return listed
}
