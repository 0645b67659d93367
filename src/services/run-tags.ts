import { createHash } from 'node:crypto'
import type { RunEngine, RunSummary } from '../engine/run-engine.ts'
import type { ServiceContext } from './context.ts'

/** The start to which a run belongs. All turns of one key share their runs. */
export interface StartOrigin {
  turnId: string
  userId: string
  idempotencyKey: string | null
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The tag of runs that belong to this database and were started while it was away. */
export const unstoredTag = async (tags: ServiceContext['tags']): Promise<string> =>
  (await tags.service()).replace(/^service/, 'unstored')

export const turnTag = (turnId: string): string => `turn_${turnId}`

/** The id of the turn that a run was started for, read from its tags; undefined when the tags name no turn. */
export function turnOf(tags: string[]): string | undefined {
  const turnId = tags.find((tag) => tag.startsWith('turn_'))?.slice('turn_'.length)
  return turnId !== undefined && UUID.test(turnId) ? turnId : undefined
}

/** The tag that all runs of a start share. */
export function startTag({ turnId, userId, idempotencyKey }: StartOrigin): string {
  if (idempotencyKey === null) return turnTag(turnId)
  const digest = createHash('sha256').update(JSON.stringify([userId, idempotencyKey]))
  return `key_${digest.digest('hex')}`
}

/** Whether a tag of a run is the one that all runs of its start share. */
export const isStartTag = (tag: string): boolean => tag.startsWith('key_') || tag.startsWith('turn_')

/** The runs that the engine lists with the tag, newest first; a run may be missing for `listLagMs` after its start. */
export async function runsTagged(
  engine: RunEngine,
  tag: string,
  purpose: 'read' | 'sweep',
  createdFrom?: Date,
): Promise<RunSummary[]> {
  const runs: RunSummary[] = []
  const filter = createdFrom === undefined ? { tag } : { tag, createdFrom }
  for await (const run of engine.list(filter, purpose)) if (run.tags.includes(tag)) runs.push(run)
  return runs
}
