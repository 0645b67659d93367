import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RunView } from '../services/read/run-view.ts'

/** Seconds after which polling again makes sense: 1 at first, 5 from two minutes on. */
export function pollAgainAfter(run: RunView): number {
  const age = (Date.now() - Date.parse(run.createdAt)) / 1000
  return [10, 30, 60, 120].filter((limit) => age >= limit).length + 1
}

/** Strong tag of a poll's body. */
export function tagOf(run: RunView): string {
  return `"${createHash('sha256').update(JSON.stringify(run)).digest('base64url').slice(0, 27)}"`
}

/**
 * Whether `If-None-Match` is `*` or names the tag (RFC 9110 §13.1.2, weak comparison). Proxies that compress an answer
 * change its tag: `W/"…"`, `"…-gzip"`, `"…;br"`. No other tag contains this one, which is a hash.
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
