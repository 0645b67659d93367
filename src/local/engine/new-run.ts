import { stringifyDuration } from '@trigger.dev/core/v3/isomorphic'
import type { TaskManifest } from './messages.ts'
import type { Packet, Run, RunKey } from './run.ts'

/** The order of a caller: the task, its payload, and the options of the trigger call. */
export interface RunOrder {
  taskId: string
  payload: Packet
  queue?: string | undefined
  concurrencyKey?: string | undefined
  key?: RunKey | undefined
  ttl?: string | undefined
  delayUntil?: Date | undefined
  maxDuration?: number | undefined
  maxAttempts?: number | undefined
  tags: string[]
  metadata?: Record<string, unknown> | undefined
  isTest: boolean
  parent?: Run | undefined
}

/** The ttl of a run when neither the caller nor the task names one, as in development environments. */
const DEFAULT_TTL = '10m'
const MIN_MAX_DURATION_S = 5

/** The record of a run that is not enqueued yet. The task's own options fill in what the order leaves out. */
export function newRun(id: string, seq: number, order: RunOrder, task: TaskManifest | undefined): Run {
  const { parent } = order
  const now = new Date()
  const maxDuration = order.maxDuration ?? task?.maxDuration
  return {
    id,
    seq,
    taskId: order.taskId,
    payload: order.payload,
    queue: order.queue ?? task?.queue ?? `task/${order.taskId}`,
    concurrencyKey: order.concurrencyKey,
    key: order.key,
    ttl: order.ttl ?? ttlText(task?.ttl) ?? DEFAULT_TTL,
    maxDuration: maxDuration && Math.max(maxDuration, MIN_MAX_DURATION_S),
    maxAttempts: order.maxAttempts ?? task?.retry?.maxAttempts ?? 1,
    isTest: order.isTest,
    parentId: parent?.id,
    rootId: parent && (parent.rootId ?? parent.id),
    depth: parent ? parent.depth + 1 : 0,
    children: [],
    createdAt: now,
    state: order.delayUntil ? 'DELAYED' : 'PENDING',
    tags: order.tags,
    metadata: order.metadata,
    output: undefined,
    error: undefined,
    attempt: 0,
    usageMs: 0,
    updatedAt: now,
    queuedAt: undefined,
    delayUntil: order.delayUntil,
    startedAt: undefined,
    expiredAt: undefined,
    completedAt: undefined,
    firstChange: 0,
    lastChange: 0,
    streams: new Map(),
  }
}

/** A ttl as answers show it. A number of seconds that is not positive means that there is no ttl. */
export const ttlText = (ttl: string | number | undefined): string | undefined =>
  typeof ttl === 'number' ? stringifyDuration(ttl) : ttl
