import type { TaskRunExecution } from '@trigger.dev/core/v3/schemas'
import type { TaskManifest } from './messages.ts'
import type { Run } from './run.ts'

/** Names of the engine's only environment. */
export const ENVIRONMENT = {
  env: { id: 'clocalenvironment00000000', slug: 'dev', type: 'DEVELOPMENT' },
  organization: { id: 'clocalorganization0000000', slug: 'local', name: 'local' },
  project: { id: 'clocalproject000000000000', ref: 'proj_local', slug: 'local', name: 'local' },
} as const

/** The version of the worker in answers, dated like the versions of Trigger.dev's development workers. */
export const workerVersion = (now: Date): string => `${now.toISOString().slice(0, 10).replaceAll('-', '')}.1`

/** The message that tells a child about the run that it executes. Core derives the task's `ctx` from it. */
export function executionOf(run: Run, task: TaskManifest, version: string): TaskRunExecution {
  return {
    task: { id: run.taskId, filePath: task.filePath },
    attempt: { number: run.attempt, startedAt: new Date() },
    run: {
      id: run.id,
      payload: run.payload.data ?? '',
      payloadType: run.payload.dataType,
      tags: run.tags,
      isTest: run.isTest,
      isReplay: false,
      createdAt: run.createdAt,
      startedAt: run.startedAt ?? new Date(),
      idempotencyKey: run.key?.key ?? run.key?.hash,
      idempotencyKeyScope: run.key?.scope,
      maxAttempts: run.maxAttempts,
      maxDuration: run.maxDuration,
      metadata: run.metadata as TaskRunExecution['run']['metadata'],
      version,
      parentTaskRunId: run.parentId,
      rootTaskRunId: run.rootId,
      durationMs: run.usageMs,
      costInCents: 0,
      baseCostInCents: 0,
      traceContext: {},
      realtimeStreamsVersion: 'v2',
    },
    queue: { id: `queue_${run.queue}`, name: run.queue },
    environment: ENVIRONMENT.env,
    organization: ENVIRONMENT.organization,
    project: ENVIRONMENT.project,
    machine: { name: 'small-1x', cpu: 0.5, memory: 0.5, centsPerMs: 0 },
  }
}
