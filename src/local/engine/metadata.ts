import type { FlushedRunMetadata } from '@trigger.dev/core/v3/schemas'
import type { z } from 'zod/v4'
import type { Run } from './run.ts'

export type MetadataChange = z.infer<typeof FlushedRunMetadata>

/**
 * Applies what a task changed in its metadata, by core's own rules. Core is loaded at the first change: most
 * tasks never make one, and it is large.
 */
export async function applyMetadata(run: Run, change: MetadataChange): Promise<Record<string, unknown>> {
  const { applyMetadataOperations } = await import('@trigger.dev/core/v3')
  const current = change.metadata ?? run.metadata ?? {}
  run.metadata = applyMetadataOperations(current, change.operations ?? []).newMetadata
  return run.metadata
}
