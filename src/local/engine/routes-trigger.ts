import {
  ReplayRunRequestBody,
  ReplayRunResponse,
  TriggerTaskRequestBody,
  TriggerTaskResponse,
} from '@trigger.dev/core/v3/schemas'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { z } from 'zod/v4'
import { answer, HttpError, notImplemented } from './answers.ts'
import { authorize, requireSecret, runToken } from './auth.ts'
import { readJson } from './bodies.ts'
import { findRun, type RouteContext } from './context.ts'
import { delayEnd, durationMs } from './durations.ts'
import { DEFAULT_KEY_TTL_MS } from './keys.ts'
import { limited } from './metadata.ts'
import { type RunOrder, ttlText } from './new-run.ts'
import { OneTimeTokens } from './one-time-tokens.ts'
import type { Run, RunKey } from './run.ts'
import { packetJson, packetOf } from './values.ts'

const MAX_PAYLOAD_BYTES = 3 * 1024 * 1024
const MAX_TAGS = 10

type Options = NonNullable<z.infer<typeof TriggerTaskRequestBody>['options']>

/** The routes that start runs: trigger and replay. */
export function triggerRoutes(app: FastifyInstance, context: RouteContext): void {
  const oneTimeTokens = new OneTimeTokens(context.store)

  app.post<{ Params: { taskId: string } }>('/api/v1/tasks/:taskId/trigger', async (request, reply) => {
    const { taskId } = request.params
    const resources = [{ type: 'tasks', id: taskId }]
    authorize(request.apiCaller, { action: 'trigger', resources, superScope: 'write:tasks' })
    const { payload, options = {} } = await readJson(request, TriggerTaskRequestBody, MAX_PAYLOAD_BYTES)
    // The engine cannot wake a parent run that waits for its child run.
    if (options.resumeParentOnCompletion) throw notImplemented('triggerAndWait')
    const header = request.headers['idempotency-key']
    const key = keyOf(options, typeof header === 'string' ? header : undefined)
    const known = key && context.keys.find(taskId, key.hash, Date.now())
    if (known) return started(reply, context, known, true)
    const order = {
      taskId,
      payload: packetOf(payload, options.payloadType),
      key,
      ...runOptions(context, options),
    }
    const token = request.apiCaller.kind === 'public' ? request.apiCaller.oneTimeToken : undefined
    if (token && oneTimeTokens.isUsed(token)) throw usedToken(taskId)
    const run = context.lifecycle.trigger(order)
    if (token) oneTimeTokens.use(token, run)
    return started(reply, context, run, false)
  })

  app.post<{ Params: { id: string } }>('/api/v1/runs/:id/replay', async (request, reply) => {
    requireSecret(request.apiCaller)
    const run = findRun(context, request, request.params.id, 'write')
    const hasBody = Number(request.headers['content-length'] ?? 0) > 0
    const body = hasBody ? await readJson(request, ReplayRunRequestBody, MAX_PAYLOAD_BYTES) : undefined
    const replayed = context.lifecycle.trigger({
      taskId: run.taskId,
      payload: body?.payload === undefined ? run.payload : packetOf(body.payload, body.payloadType),
      queue: run.queue,
      concurrencyKey: run.concurrencyKey,
      ttl: run.ttl,
      maxDuration: run.maxDuration,
      maxAttempts: run.maxAttempts,
      tags: run.tags,
      metadata: run.metadata,
      isTest: run.isTest,
    })
    return answer(reply, ReplayRunResponse, { id: replayed.id })
  })
}

const usedToken = (taskId: string) =>
  new HttpError(422, {
    error: `Cannot trigger ${taskId} with a one-time use token as it has already been used.`,
  })

async function started(
  reply: FastifyReply,
  context: RouteContext,
  run: Run,
  isCached: boolean,
): Promise<FastifyReply> {
  const { token, claims } = await runToken(run.id, context.secretKey)
  reply.header('x-trigger-jwt', token).header('x-trigger-jwt-claims', JSON.stringify(claims))
  return answer(reply, TriggerTaskResponse, { id: run.id, isCached })
}

function keyOf(options: Options, header: string | undefined): RunKey | undefined {
  const hash = options.idempotencyKey ?? header
  if (!hash) return undefined
  const ttl = options.idempotencyKeyTTL ? durationMs(options.idempotencyKeyTTL) : DEFAULT_KEY_TTL_MS
  return {
    hash,
    key: options.idempotencyKeyOptions?.key ?? header,
    scope: options.idempotencyKeyOptions?.scope,
    expiresAt: Date.now() + (ttl ?? DEFAULT_KEY_TTL_MS),
  }
}

function runOptions(context: RouteContext, options: Options): Omit<RunOrder, 'taskId' | 'payload' | 'key'> {
  const { tags = [], delay, ttl, metadata } = options
  const delayUntil = delay === undefined ? undefined : delayEnd(delay, Date.now())
  if (delay !== undefined && !delayUntil)
    throw new HttpError(422, { error: `Invalid delay ${String(delay)}` })
  if (typeof ttl === 'string' && durationMs(ttl) === undefined)
    throw new HttpError(422, { error: `Invalid ttl ${ttl}` })
  if (options.lockToVersion && options.lockToVersion !== context.view.version) {
    throw new HttpError(500, { error: 'Something went wrong' })
  }
  return {
    queue: options.queue?.name,
    concurrencyKey: options.concurrencyKey ?? undefined,
    ttl: ttlText(ttl),
    delayUntil: delayUntil && delayUntil.getTime() > Date.now() ? delayUntil : undefined,
    maxDuration: options.maxDuration,
    maxAttempts: options.maxAttempts,
    tags: uniqueTags([tags].flat()),
    metadata: metadataOf(metadata, options.metadataType),
    isTest: options.test ?? false,
    parent: options.parentRunId ? context.store.get(options.parentRunId) : undefined,
  }
}

/** Throws 422 when a run would have more tags than it can have. */
export function uniqueTags(tags: string[]): string[] {
  const all = [...new Set(tags)]
  if (all.length <= MAX_TAGS) return all
  throw new HttpError(422, {
    error: `Runs can only have ${MAX_TAGS} tags, you're trying to set ${all.length}.`,
  })
}

/** The SDK sends metadata as a plain object. Older versions of it send a serialized packet. */
function metadataOf(metadata: unknown, dataType = 'application/json'): Record<string, unknown> | undefined {
  const value = typeof metadata === 'string' ? packetJson({ data: metadata, dataType }) : metadata
  if (value === undefined || value === null) return undefined
  if (typeof value === 'object' && !Array.isArray(value)) return limited(value as Record<string, unknown>)
  throw new HttpError(400, { error: 'Validation error: metadata must be an object' })
}
