import type { RunEngine } from '../engine/run-engine.ts'
import type { ConversationStore } from '../stores/conversations.ts'
import type { HousekeepingStore } from '../stores/housekeeping.ts'
import type { RunEndStore } from '../stores/run-ends.ts'
import type { RunStore } from '../stores/runs.ts'
import type { SweepStore } from '../stores/sweeps.ts'
import type { TurnStore } from '../stores/turns.ts'

export interface Stores {
  turns: TurnStore
  runs: RunStore
  ends: RunEndStore
  conversations: ConversationStore
  sweeps: SweepStore
  housekeeping: HousekeepingStore
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
    /** Days that finished runs and their keys are kept. */
    retentionDays: number
    /** Days that a conversation is kept after its last activity; undefined: until it is deleted. */
    conversationRetentionDays?: number | undefined
    largePayloads: boolean
  }
}
