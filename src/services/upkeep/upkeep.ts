import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceContext } from '../context.ts'
import type { Sweeper } from './sweeper.ts'
import type { UnstoredRuns } from './unstored-runs.ts'

/** How late the sweeper is, measured every five seconds. */
export interface Lag {
  sweeperLagSeconds: number
  oldestUnfinishedSeconds: number
  unfinished: number
}

export interface Upkeep {
  /** Sweeps, adopts and expires until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
  lag(): Lag | undefined
}

const SWEEP_MS = 2_000
const SEARCH_MS = 5_000
const LAG_MS = 5_000
const MINUTE_MS = 60_000
/** Rows of one statement: few enough that the statement blocks no request. */
const BATCH = 500
/** Conversations of one statement; each removes up to a batch of messages, turns and runs. */
const CONVERSATIONS = 20

/** The work of every instance beside its requests. Claims in the database divide this work among the instances. */
export function upkeep(context: ServiceContext, sweeper: Sweeper, unstored: UnstoredRuns): Upkeep {
  const { stores, log, settings } = context
  const { housekeeping } = stores
  let lag: Lag | undefined

  const quietly = (name: string, work: () => Promise<unknown>) => async (): Promise<void> => {
    try {
      await work()
    } catch (error) {
      log.warn({ err: error }, `${name} failed and is tried again`)
    }
  }

  async function expire(): Promise<void> {
    while ((await housekeeping.expireRuns(settings.retentionDays, BATCH)) === BATCH);
    while ((await housekeeping.expireUsage(BATCH)) === BATCH);
    while ((await housekeeping.expireBudgets(BATCH)) === BATCH);
    while ((await stores.deliveries.expire(settings.retentionDays, BATCH)) === BATCH);
    while ((await stores.feed.expire(BATCH)) === BATCH);
    const days = settings.conversationRetentionDays
    if (days === undefined) return
    while ((await housekeeping.expireConversations(days, CONVERSATIONS, BATCH)) === CONVERSATIONS);
  }

  async function measure(): Promise<void> {
    lag = undefined // When the measuring fails, metrics must not show the old value.
    lag = await stores.sweeps.lag()
  }

  return {
    async run(signal) {
      const every = async (ms: number, work: () => Promise<void>) => {
        while (!signal.aborted) {
          await work()
          await sleep(ms, undefined, { signal }).catch(() => {})
        }
      }
      const repeat = (work: () => Promise<boolean>) => async () => {
        while (!signal.aborted && (await work()));
      }
      await Promise.all([
        every(
          SWEEP_MS,
          quietly(
            'the sweep',
            repeat(() => sweeper.sweep()),
          ),
        ),
        every(
          SEARCH_MS,
          quietly('the search for runs without a row', () => unstored.search()),
        ),
        every(LAG_MS, quietly('measuring how late the sweeper is', measure)),
        every(
          SWEEP_MS,
          quietly(
            'emptying deleted conversations',
            repeat(() => housekeeping.emptyDeleted(BATCH)),
          ),
        ),
        every(MINUTE_MS, quietly('the removal of expired rows', expire)),
      ])
    },
    lag: () => lag,
  }
}
