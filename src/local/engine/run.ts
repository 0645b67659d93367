import type { RunStatus, TaskRunError } from '@trigger.dev/core/v3/schemas'
import type { RunStream } from './stream.ts'

/** The states of a run, by the names of Trigger.dev's engine, which its realtime feed shows. */
export type RunState =
  | 'PENDING_VERSION'
  | 'DELAYED'
  | 'PENDING'
  | 'DEQUEUED'
  | 'EXECUTING'
  | 'RETRYING_AFTER_FAILURE'
  | 'COMPLETED_SUCCESSFULLY'
  | 'COMPLETED_WITH_ERRORS'
  | 'CANCELED'
  | 'CRASHED'
  | 'SYSTEM_FAILURE'
  | 'TIMED_OUT'
  | 'EXPIRED'

/** The status that the REST API shows for each state. */
export const API_STATUS: Record<RunState, RunStatus> = {
  PENDING_VERSION: 'PENDING_VERSION',
  DELAYED: 'DELAYED',
  PENDING: 'QUEUED',
  DEQUEUED: 'DEQUEUED',
  EXECUTING: 'EXECUTING',
  RETRYING_AFTER_FAILURE: 'EXECUTING',
  COMPLETED_SUCCESSFULLY: 'COMPLETED',
  COMPLETED_WITH_ERRORS: 'FAILED',
  CANCELED: 'CANCELED',
  CRASHED: 'CRASHED',
  SYSTEM_FAILURE: 'SYSTEM_FAILURE',
  TIMED_OUT: 'TIMED_OUT',
  EXPIRED: 'EXPIRED',
}

const FINAL = new Set<RunState>([
  'COMPLETED_SUCCESSFULLY',
  'COMPLETED_WITH_ERRORS',
  'CANCELED',
  'CRASHED',
  'SYSTEM_FAILURE',
  'TIMED_OUT',
  'EXPIRED',
])

export const isFinal = (state: RunState): boolean => FINAL.has(state)
export const isStarted = (state: RunState): boolean =>
  state === 'DEQUEUED' || state === 'EXECUTING' || state === 'RETRYING_AFTER_FAILURE'

/** A serialized value, with the type of its serialization. */
export interface Packet {
  data?: string | undefined
  dataType: string
}

/** The idempotency key of a run. Runs are compared by `hash`; `key` is the caller's own text. */
export interface RunKey {
  hash: string
  key?: string | undefined
  scope?: 'run' | 'attempt' | 'global' | undefined
  expiresAt: number
}

export interface Run {
  readonly id: string
  /** Place in the order of creation; the cursor of `list`. */
  readonly seq: number
  readonly taskId: string
  readonly payload: Packet
  readonly queue: string
  readonly concurrencyKey: string | undefined
  readonly key: RunKey | undefined
  /** The ttl as the caller wrote it, such as "10m". */
  readonly ttl: string | undefined
  readonly maxDuration: number | undefined
  readonly maxAttempts: number
  readonly isTest: boolean
  readonly parentId: string | undefined
  readonly rootId: string | undefined
  readonly depth: number
  /** The runs that this one has triggered. */
  readonly children: Run[]
  readonly createdAt: Date
  state: RunState
  tags: string[]
  metadata: Record<string, unknown> | undefined
  output: Packet | undefined
  error: TaskRunError | undefined
  attempt: number
  usageMs: number
  updatedAt: Date
  queuedAt: Date | undefined
  delayUntil: Date | undefined
  startedAt: Date | undefined
  expiredAt: Date | undefined
  /** Set when the state is final. For a cancelled run it is set when the child has finished the run's last writes. */
  completedAt: Date | undefined
  /** Numbers of the run's first and latest change in the feed of changes. */
  firstChange: number
  lastChange: number
  readonly streams: Map<string, RunStream>
}
