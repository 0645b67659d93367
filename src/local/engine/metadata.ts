import type { FlushedRunMetadata } from '@trigger.dev/core/v3/schemas'
import type { z } from 'zod/v4'
import { HttpError } from './answers.ts'
import type { Run } from './run.ts'
import type { RunStore } from './store.ts'

export type MetadataChange = z.infer<typeof FlushedRunMetadata>
type Metadata = Record<string, unknown>

/** The most bytes of a run's serialized metadata. */
export const MAX_METADATA_BYTES = 256 * 1024

/**
 * Applies a task's changes to the metadata of its run and of the runs that triggered it, by core's own rules. A change
 * for a parent that does not exist is dropped, as on a real server. Core is large and most tasks change no metadata, so
 * core is loaded at the first change. Throws 413.
 */
export async function applyMetadata(run: Run, change: MetadataChange, store: RunStore): Promise<Metadata> {
  const { applyMetadataOperations } = await import('@trigger.dev/core/v3')
  const apply = (target: Run | undefined, operations: MetadataChange['operations'], base?: Metadata) => {
    if (!target) return
    const current = base ?? target.metadata ?? {}
    target.metadata = limited(applyMetadataOperations(current, operations ?? []).newMetadata)
  }
  apply(run, change.operations, change.metadata)
  for (const [id, operations] of [
    [run.parentId, change.parentOperations],
    [run.rootId, change.rootOperations],
  ] as const) {
    const above = id !== undefined && operations?.length ? store.get(id) : undefined
    apply(above, operations)
    if (above) store.changed(above)
  }
  return run.metadata ?? {}
}

/** Throws 413 when the metadata is larger than a run may hold. */
export function limited(metadata: Metadata): Metadata {
  if (Buffer.byteLength(JSON.stringify(metadata)) <= MAX_METADATA_BYTES) return metadata
  throw new HttpError(413, { error: `Metadata exceeds maximum size of ${MAX_METADATA_BYTES} bytes` })
}
