import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Run } from '../schemas/run.ts'
import type { RunView } from '../services/read/run-view.ts'

/** Seconds after which polling again makes sense: 1 at first, 5 from two minutes on. */
export function pollAgainAfter(run: RunView): number {
  const age = (Date.now() - Date.parse(run.createdAt)) / 1000
  return [10, 30, 60, 120].filter((limit) => age >= limit).length + 1
}

/** A hash of this release's fields, because another release may answer with another body for the same ended run. */
const FIELDS = createHash('sha256').update(JSON.stringify(Run)).digest('base64url').slice(0, 12)

/**
 * Strong tag of the body of a run that has ended. Such a body changes when another run replaces it, or goes on with it,
 * and when a call for which it waits is answered. The tag of the changed body contains the tag of the run.
 */
export const endedTag = (runId: string, changes = ''): string => `"${FIELDS}.${runId}.${changes}"`

/** Strong tag of a poll's body. */
export function tagOf(run: RunView): string {
  if (run.status !== 'queued' && run.status !== 'running') return endedTag(run.runId, changesOf(run))
  return `"${createHash('sha256').update(JSON.stringify(run)).digest('base64url').slice(0, 27)}"`
}

/** What has changed since the end of a run. A later state never is the beginning of an earlier one. */
function changesOf({
  finishReason,
  pendingActions = [],
  continuedBy = '',
  supersededBy = '',
}: RunView): string {
  const waits = finishReason === 'action_required' ? `${pendingActions.length}-${continuedBy}.` : ''
  return waits + supersededBy
}

/**
 * Whether `If-None-Match` is `*` or names the tag (RFC 9110 §13.1.2, weak comparison). Proxies that compress an answer
 * change its tag: `W/"…"`, `"…-gzip"`, `"…;br"`. No other tag contains this one.
 */
export function matches(request: FastifyRequest, tag: string): boolean {
  const header = request.headers['if-none-match']
  return header !== undefined && (header.trim() === '*' || header.includes(tag.slice(1, -1)))
}

/** Headers of every answer that holds a run. */
export function describeRun(reply: FastifyReply, run: RunView): FastifyReply {
  const unfinished = run.status === 'queued' || run.status === 'running'
  if (unfinished) reply.header('retry-after', pollAgainAfter(run))
  return reply
    .header('cache-control', 'private, no-cache')
    .header('vary', 'Authorization, X-Effective-User')
    .header('etag', tagOf(run))
}
