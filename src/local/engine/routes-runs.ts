import {
  AddTagsRequestBody,
  CanceledRunResponse,
  ListRunResponse,
  RescheduleRunRequestBody,
  ResetIdempotencyKeyResponse,
  RetrieveRunResponse,
  TaskRunExecutionResult,
  UpdateMetadataRequestBody,
  UpdateMetadataResponseBody,
} from '@trigger.dev/core/v3/schemas'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod/v4'
import { answer, HttpError } from './answers.ts'
import { authorize, requireSecret, resourcesOf } from './auth.ts'
import { readJson } from './bodies.ts'
import { findRun, lostHeaders, type RouteContext } from './context.ts'
import { delayEnd } from './durations.ts'
import { listRuns, readListQuery } from './list.ts'
import { applyMetadata } from './metadata.ts'
import { uniqueTags } from './routes-trigger.ts'
import { isFinal } from './run.ts'
import { runView } from './views.ts'

type ById = { Params: { id: string } }
/** The most bytes of a body that these routes read. */
const MAX_BODY_BYTES = 1024 * 1024

/** Routes that read and change runs. */
export function runRoutes(app: FastifyInstance, context: RouteContext): void {
  const { keys, lifecycle, store, view } = context

  app.get<ById>('/api/v3/runs/:id', async (request, reply) => {
    const run = findRun(context, request, request.params.id, 'read', true)
    return answer(reply, RetrieveRunResponse, runView(run, view))
  })

  app.get('/api/v1/runs', async (request, reply) => {
    const query = readListQuery(request.query)
    const tasks = [...(query['filter[taskIdentifier]'] ?? [])]
    const superScope = 'read:runs'
    if (tasks.length === 0) authorize(request.apiCaller, { action: 'read', resources: [], superScope })
    for (const id of tasks)
      authorize(request.apiCaller, { action: 'read', resources: [{ type: 'tasks', id }], superScope })
    return answer(reply, ListRunResponse, listRuns(context, query))
  })

  app.post<ById>('/api/v2/runs/:id/cancel', async (request, reply) => {
    const { id } = request.params
    const run = store.get(id)
    if (!run) throw new HttpError(404, { error: 'Resource not found' }, lostHeaders(id, context.bootId))
    authorize(request.apiCaller, { action: 'write', resources: resourcesOf(run) })
    lifecycle.cancel(run)
    return answer(reply, CanceledRunResponse, { id })
  })

  // A real server gives this answer for completed and failed runs as well. Only a cancelled run has a result.
  app.get<ById>('/api/v1/runs/:id/result', async (request, reply) => {
    const run = store.get(request.params.id)
    if (run?.state !== 'CANCELED') {
      throw new HttpError(404, { error: "Run either doesn't exist or is not finished" })
    }
    const error = { type: 'INTERNAL_ERROR', code: 'TASK_RUN_CANCELLED' }
    return answer(reply, TaskRunExecutionResult, { ok: false, id: run.id, taskIdentifier: run.taskId, error })
  })

  app.post<ById>('/api/v1/runs/:id/reschedule', async (request, reply) => {
    requireSecret(request.apiCaller)
    const run = findRun(context, request, request.params.id, 'write')
    const { delay } = await readJson(request, RescheduleRunRequestBody, MAX_BODY_BYTES)
    const until = delayEnd(delay, Date.now())
    if (!until) throw new HttpError(400, { error: `Invalid delay: ${String(delay)}` })
    if (!lifecycle.reschedule(run, until))
      throw new HttpError(400, { error: 'Cannot reschedule a run that is not delayed' })
    return answer(reply, RetrieveRunResponse, runView(run, view))
  })

  app.post<ById>('/api/v1/runs/:id/tags', async (request, reply) => {
    requireSecret(request.apiCaller)
    const run = findRun(context, request, request.params.id, 'write')
    const { tags } = await readJson(request, AddTagsRequestBody, MAX_BODY_BYTES)
    const all = uniqueTags([...run.tags, ...[tags].flat()])
    const added = all.length - run.tags.length
    run.tags = all
    if (added > 0) store.changed(run)
    const message = added > 0 ? `Successfully set ${added} new tags.` : 'No new tags to add'
    return answer(reply, z.object({ message: z.string() }), { message })
  })

  app.get<ById>('/api/v1/runs/:id/metadata', async (request, reply) => {
    const run = findRun(context, request, request.params.id, 'read')
    return answer(reply, UpdateMetadataResponseBody, { metadata: run.metadata ?? {} })
  })

  app.put<ById>('/api/v1/runs/:id/metadata', async (request, reply) => {
    requireSecret(request.apiCaller)
    const run = findRun(context, request, request.params.id, 'write')
    const change = await readJson(request, UpdateMetadataRequestBody, MAX_BODY_BYTES)
    if (isFinal(run.state) && run.completedAt)
      throw new HttpError(400, { error: 'Cannot update metadata for a completed run' })
    const metadata = await applyMetadata(run, change, store)
    store.changed(run)
    return answer(reply, UpdateMetadataResponseBody, { metadata })
  })

  app.post<{ Params: { key: string } }>('/api/v1/idempotencyKeys/:key/reset', async (request, reply) => {
    requireSecret(request.apiCaller)
    const { key } = request.params
    const { taskIdentifier } = await readJson(
      request,
      z.object({ taskIdentifier: z.string() }),
      MAX_BODY_BYTES,
    )
    if (!keys.reset(taskIdentifier, key)) {
      throw new HttpError(404, {
        error: `No runs found with idempotency key: ${key} and task: ${taskIdentifier}`,
      })
    }
    return answer(reply, ResetIdempotencyKeyResponse, { id: key })
  })
}
