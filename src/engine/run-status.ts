import type { RunStatus as EngineStatus } from '@trigger.dev/core/v3'

export type { EngineStatus }

/** What callers see of a run (docs/api.md#4-poll). */
export type PublicStatus = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'

/**
 * The status of the API for each status of Trigger.dev. REST and realtime compute their booleans differently, so only
 * `status` counts. A status that a new SDK adds breaks the type check here.
 */
const PUBLIC: Record<EngineStatus, PublicStatus> = {
  PENDING_VERSION: 'queued',
  DELAYED: 'queued',
  QUEUED: 'queued',
  DEQUEUED: 'running',
  EXECUTING: 'running',
  WAITING: 'running',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CRASHED: 'failed',
  SYSTEM_FAILURE: 'failed',
  TIMED_OUT: 'failed',
  EXPIRED: 'failed',
  CANCELED: 'cancelled',
}

/** The names of statuses in Trigger.dev's realtime feed, where they differ from the names in its API. */
const FEED_NAMES: Record<string, EngineStatus> = {
  WAITING_FOR_DEPLOY: 'PENDING_VERSION',
  PENDING: 'QUEUED',
  PAUSED: 'WAITING',
  WAITING_TO_RESUME: 'WAITING',
  RETRYING_AFTER_FAILURE: 'EXECUTING',
  COMPLETED_SUCCESSFULLY: 'COMPLETED',
  COMPLETED_WITH_ERRORS: 'FAILED',
  INTERRUPTED: 'FAILED',
}

/** The code of a failure that the engine itself reports, when the worker gave no better one. */
const FAILURE_CODES: Partial<Record<EngineStatus, string>> = {
  FAILED: 'task_failed',
  CRASHED: 'crashed',
  SYSTEM_FAILURE: 'system_failure',
  TIMED_OUT: 'timed_out',
  EXPIRED: 'expired',
}

/** Trigger.dev's message for a run whose worker it has lost. The status is FAILED, or CANCELED in development. */
const WORKER_LOST =
  /^trigger\.dev internal error \((TASK_RUN_STALLED_\w+|TASK_RUN_HEARTBEAT_TIMEOUT|POD_\w+)\)|^Dev session ended/
/** Trigger.dev's message for a run whose process has exited by itself. */
const CRASHED = /^trigger\.dev internal error \((TASK_PROCESS_\w+|TASK_RUN_CRASHED)\)/

export const isEngineStatus = (status: unknown): status is EngineStatus =>
  typeof status === 'string' && Object.hasOwn(PUBLIC, status)

/** The API's name of a status of the realtime feed; an unknown one is passed through. */
export const ofFeed = (status: unknown): unknown =>
  typeof status === 'string' && Object.hasOwn(FEED_NAMES, status) ? FEED_NAMES[status] : status

export const toPublicStatus = (status: EngineStatus): PublicStatus => PUBLIC[status]

/** The code of a failed run by its status and by what the engine says about it. */
export function toFailureCode(status: EngineStatus, message: string): string {
  if (isWorkerLost(message)) return 'worker_lost'
  return CRASHED.test(message) ? 'crashed' : (FAILURE_CODES[status] ?? 'internal')
}

/** Whether the engine says that it has lost the worker of a run. */
export const isWorkerLost = (message: string): boolean => WORKER_LOST.test(message)

export const isFinished = (status: PublicStatus): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'
