import type { RunEngine } from '../engine/run-engine.ts'
import type { ActionStore } from '../stores/actions.ts'
import type { BudgetStore } from '../stores/budgets.ts'
import type { ConversationStore } from '../stores/conversations.ts'
import type { DeliveryStore } from '../stores/deliveries.ts'
import type { DeliveryListStore } from '../stores/delivery-list.ts'
import type { FeedStore } from '../stores/feed.ts'
import type { HousekeepingStore } from '../stores/housekeeping.ts'
import type { MessageStore } from '../stores/messages.ts'
import type { RunEndStore } from '../stores/run-ends.ts'
import type { RunStore } from '../stores/runs.ts'
import type { SweepStore } from '../stores/sweeps.ts'
import type { TurnStore } from '../stores/turns.ts'
import type { UsageStore } from '../stores/usage.ts'

export interface Stores {
  turns: TurnStore
  runs: RunStore
  ends: RunEndStore
  conversations: ConversationStore
  messages: MessageStore
  sweeps: SweepStore
  housekeeping: HousekeepingStore
  usage: UsageStore
  budgets: BudgetStore
  deliveries: DeliveryStore
  deliveryList: DeliveryListStore
  feed: FeedStore
  actions: ActionStore
}

export interface ServiceLog {
  info(object: object, message: string): void
  warn(object: object, message: string): void
  error(object: object, message: string): void
}

/** The parts of the instance with which every service works. It is not the turn context and not a request's context. */
export interface ServiceContext {
  stores: Stores
  engine: RunEngine
  log: ServiceLog
  /** Tags that every run carries: `service` names the database (read from it once), `instance` the starting instance. */
  tags: { service(): Promise<string>; instance: string }
  settings: {
    ttlSeconds: number
    maxDurationSeconds: number
    /** Days that finished runs and their keys are kept. */
    retentionDays: number
    /** Days that a conversation is kept after its last activity. Undefined: it is kept until a caller deletes it. */
    conversationRetentionDays?: number | undefined
    largePayloads: boolean
    /** Budgets of tokens by day; undefined when none is set. */
    budget?: { user?: number; actor?: number; perRun: number } | undefined
  }
}
