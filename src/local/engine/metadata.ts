import type { FlushedRunMetadata } from '@trigger.dev/core/v3/schemas'
import type { z } from 'zod/v4'
import { HttpError } from './answers.ts'
import type { Run } from './run.ts'
import type { RunStore } from './store.ts'

export type MetadataChange = z.infer<typeof FlushedRunMetadata>
type Metadata = Record<string, unknown>

/** What a run may hold, serialized. */
export const MAX_METADATA_BYTES = 256 * 1024

/**
 * Applies what a task changed in its metadata and in that of the runs above it, by core's own rules; what is meant
 * for a run above is dropped where there is none, as on the real server. Core is loaded at the first change: most
 * tasks never make one, and it is large. Throws 413.
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

/** Throws 413 when it is more than a run may hold. */
export function limited(metadata: Metadata): Metadata {
  if (Buffer.byteLength(JSON.stringify(metadata)) <= MAX_METADATA_BYTES) return metadata
  throw new HttpError(413, { error: `Metadata exceeds maximum size of ${MAX_METADATA_BYTES} bytes` })
}
