import type { FastifyInstance } from 'fastify'
import { HttpError } from './answers.ts'
import { authorize } from './auth.ts'
import { findRun, type RouteContext } from './context.ts'
import { delayEnd, durationMs } from './durations.ts'
import { lostEvents } from './lost-events.ts'
import { answerShape, type ShapeQuery } from './realtime.ts'
import type { Run } from './run.ts'

/** Subscriptions by tag see runs of at most this age. */
const MAX_AGE_MS = 24 * 3_600_000

/** Subscriptions to runs, by long polls of Electric's shape protocol. */
export function realtimeRoutes(app: FastifyInstance, context: RouteContext): void {
  const { bootId, store } = context
  const { longPollMs, loseEvents } = context.switches
  const rules = { isLost: lostEvents(loseEvents), longPollMs }

  app.get<{ Querystring: ShapeQuery & { tags?: string; createdAt?: string } }>(
    '/realtime/v1/runs',
    async (request, reply) => {
      const tags = request.query.tags?.split(',') ?? []
      const resources = [{ type: 'runs' }, ...tags.map((id) => ({ type: 'tags', id }))]
      authorize(request.apiCaller, { action: 'read', resources })
      const from = createdFrom(request.query.createdAt)
      const matches = (run: Run) =>
        run.createdAt.getTime() >= from && tags.every((tag) => run.tags.includes(tag))
      return answerShape(reply, request.query, { store, handle: `runs_${bootId}`, matches, ...rules })
    },
  )

  app.get<{ Params: { id: string }; Querystring: ShapeQuery }>(
    '/realtime/v1/runs/:id',
    async (request, reply) => {
      const run = findRun(context, request, request.params.id, 'read')
      const handle = `run-${run.id}`
      return answerShape(reply, request.query, { store, handle, matches: (other) => other === run, ...rules })
    },
  )
}

/** The oldest creation time that a subscription sees: a duration before now or a date. */
function createdFrom(createdAt: string | undefined): number {
  const oldest = Date.now() - MAX_AGE_MS
  if (createdAt === undefined) return oldest
  const ms = durationMs(createdAt)
  const from = ms === undefined ? delayEnd(createdAt, 0)?.getTime() : Date.now() - ms
  if (from === undefined)
    throw new HttpError(400, { error: 'Query Error', details: [{ path: ['createdAt'] }] })
  return Math.max(oldest, from)
}
