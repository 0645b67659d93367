import { createJsonErrorObject } from '@trigger.dev/core/v3/errors'
import { ENVIRONMENT } from './executions.ts'
import { API_STATUS, isStarted, type Run } from './run.ts'
import { packetJson } from './values.ts'

export interface ViewContext {
  version: string
  /** The URL from which a stored packet can be fetched without a key. */
  presign(path: string): string
}

/** A run as `GET /api/v3/runs/{id}` shows it. */
export function runView(run: Run, context: ViewContext): Record<string, unknown> {
  return {
    ...related(run, context),
    // A run that was cancelled before it started has no time of completion here, although the list shows one.
    finishedAt: run.state === 'CANCELED' && !run.startedAt ? undefined : run.completedAt,
    payload: inline(run.payload),
    payloadPresignedUrl: stored(run.payload, context),
    output: run.output && inline(run.output),
    outputPresignedUrl: run.output && stored(run.output, context),
    error: run.error && createJsonErrorObject(run.error),
    attemptCount: run.attempt,
    attempts: [],
    relatedRuns: { children: run.children.map((child) => related(child, context)) },
  }
}

/** A run as `GET /api/v1/runs` lists it: without payload, output and metadata. */
export function runItem(run: Run, context: ViewContext): Record<string, unknown> {
  const { id } = ENVIRONMENT.env
  return { ...common(run, context), env: { id, name: 'dev', user: 'Local Developer' }, taskKind: 'STANDARD' }
}

const related = (run: Run, context: ViewContext) => ({
  ...common(run, context),
  triggerFunction: 'trigger',
  metadata: run.metadata,
})

function common(run: Run, context: ViewContext): Record<string, unknown> {
  return {
    id: run.id,
    taskIdentifier: run.taskId,
    idempotencyKey: run.key?.key ?? run.key?.hash,
    version: run.attempt > 0 ? context.version : undefined,
    status: API_STATUS[run.state],
    createdAt: run.createdAt,
    startedAt: run.startedAt,
    updatedAt: run.updatedAt,
    finishedAt: run.completedAt,
    expiredAt: run.expiredAt,
    delayedUntil: run.delayUntil,
    ttl: run.ttl,
    costInCents: 0,
    baseCostInCents: 0,
    durationMs: Math.round(run.usageMs),
    isTest: run.isTest,
    depth: run.depth,
    tags: run.tags,
    region: ENVIRONMENT.env.id,
    ...flags(run),
  }
}

/** The booleans of a real server: a cancelled run is completed and failed, an expired or timed out run is neither. */
function flags({ state }: Run) {
  const isSuccess = state === 'COMPLETED_SUCCESSFULLY'
  const isCancelled = state === 'CANCELED'
  const isFailed =
    isCancelled || state === 'COMPLETED_WITH_ERRORS' || state === 'CRASHED' || state === 'SYSTEM_FAILURE'
  return {
    isQueued: state === 'PENDING' || state === 'DELAYED' || state === 'PENDING_VERSION',
    isExecuting: isStarted(state),
    isCompleted: isSuccess || isFailed,
    isFailed,
    isSuccess,
    isCancelled,
    isWaiting: false,
  }
}

const isStored = (packet: Run['payload']): boolean => packet.dataType === 'application/store'
const inline = (packet: Run['payload']) => (isStored(packet) ? undefined : packetJson(packet))
const stored = (packet: Run['payload'], context: ViewContext) =>
  isStored(packet) && packet.data ? context.presign(packet.data) : undefined
