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

export const turnTag = (turnId: string): string => `turn_${turnId}`

/** The turn that a run belongs to, by its tags. */
export const turnOf = (tags: string[]): string | undefined =>
  tags.find((tag) => tag.startsWith('turn_'))?.slice('turn_'.length)

/** The runs that the engine has for a turn, newest first; its lists lag behind by seconds. */
export async function runsOfTurn(
  engine: RunEngine,
  turnId: string,
  kind: 'look' | 'sweep',
): Promise<RunSummary[]> {
  const runs: RunSummary[] = []
  for await (const run of engine.list({ tag: turnTag(turnId) }, kind)) {
    if (turnOf(run.tags) === turnId) runs.push(run)
  }
  return runs
}
