import { createHash } from 'node:crypto'
import type { RunEngine, RunSummary } from '../engine/run-engine.ts'
import type { ConversationStore } from '../stores/conversations.ts'
import type { RunStore } from '../stores/runs.ts'
import type { SweepStore } from '../stores/sweeps.ts'
import type { TurnStore } from '../stores/turns.ts'

export interface Stores {
  turns: TurnStore
  runs: RunStore
  conversations: ConversationStore
  sweeps: SweepStore
}

export interface ServiceLog {
  info(object: object, message: string): void
  warn(object: object, message: string): void
  error(object: object, message: string): void
}

/** What every service works with. */
export interface ServiceContext {
  stores: Stores
  engine: RunEngine
  log: ServiceLog
  /** Tags that every run carries: whose database it belongs to (asked for once), and which instance listens. */
  tags: { service(): Promise<string>; instance: string }
  settings: {
    ttlSeconds: number
    maxDurationSeconds: number
    retentionDays: number
    largePayloads: boolean
  }
}

/** The tag of this database's runs that have been started without it. */
export const unstoredTag = async (tags: ServiceContext['tags']): Promise<string> =>
  (await tags.service()).replace(/^service/, 'unstored')

export const turnTag = (turnId: string): string => `turn_${turnId}`

/** The turn that a run belongs to, by its tags. */
export const turnOf = (tags: string[]): string | undefined =>
  tags.find((tag) => tag.startsWith('turn_'))?.slice('turn_'.length)

/** Whose start a run is, whatever became of its row: with a key, a retry may have made another turn of it. */
export interface StartOrigin {
  turnId: string
  userId: string
  idempotencyKey: string | null
}

/** The tag that all runs of a start share. */
export function startTag({ turnId, userId, idempotencyKey }: StartOrigin): string {
  if (idempotencyKey === null) return turnTag(turnId)
  return `key_${createHash('sha256')
    .update(JSON.stringify([userId, idempotencyKey]))
    .digest('hex')}`
}

/** The runs that the engine has with the tag, newest first; its lists lag behind by seconds. */
export async function runsTagged(
  engine: RunEngine,
  tag: string,
  kind: 'look' | 'sweep',
  createdFrom?: Date,
): Promise<RunSummary[]> {
  const runs: RunSummary[] = []
  const filter = createdFrom === undefined ? { tag } : { tag, createdFrom }
  for await (const run of engine.list(filter, kind)) if (run.tags.includes(tag)) runs.push(run)
  return runs
}
