import type { RunStatus as EngineStatus } from '@trigger.dev/core/v3'

/** What callers see of a run (contract §4). */
export type PublicStatus = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'

/**
 * Trigger.dev's statuses to ours. REST and realtime compute their booleans differently, so only `status`
 * counts; a status that a new SDK adds breaks the build here.
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

/** The code of a failure that the engine itself reports, when the worker gave no better one. */
const FAILURE_CODES: Partial<Record<EngineStatus, string>> = {
  FAILED: 'task_failed',
  CRASHED: 'crashed',
  SYSTEM_FAILURE: 'system_failure',
  TIMED_OUT: 'timed_out',
  EXPIRED: 'expired',
}

export const toPublicStatus = (status: EngineStatus): PublicStatus => PUBLIC[status]

export const toFailureCode = (status: EngineStatus): string => FAILURE_CODES[status] ?? 'internal'

export const isFinished = (status: PublicStatus): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'
