import { setTimeout as sleep } from 'node:timers/promises'
import type { Adoption } from './adoption.ts'
import type { ServiceContext } from './context.ts'
import { SWEEP_BATCH, type Sweeper } from './sweeper.ts'

/** How far the upkeep is behind, as of a few seconds ago. */
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

const INTERVAL_MS = 2_000
const LAG_MS = 5_000
const MINUTE_MS = 60_000
/** Whoever is first after 45 s searches: with this, somebody does once a minute, whoever dies. */
const SEARCH_MS = 15_000
/** Small enough to be quick, and to lock nobody out. */
const EXPIRE_BATCH = 500

/** What every instance does beside its requests; the database says whose turn it is. */
export function upkeep(context: ServiceContext, sweeper: Sweeper, adoption: Adoption): Upkeep {
  const { stores, log, settings } = context
  let lag: Lag | undefined

  const quietly = (name: string, work: () => Promise<unknown>) => async (): Promise<void> => {
    try {
      await work()
    } catch (error) {
      log.warn({ err: error }, `${name} failed and is tried again`)
    }
  }

  async function expire(): Promise<void> {
    let gone = EXPIRE_BATCH
    while (gone === EXPIRE_BATCH) gone = await stores.sweeps.expire(settings.retentionDays, EXPIRE_BATCH)
  }

  async function sweep(): Promise<void> {
    while ((await sweeper.sweep()) === SWEEP_BATCH);
  }

  const catchUp = quietly('catching up after an outage of the database', async () => {
    await adoption.recovered()
    if (!adoption.isBehind()) return
    await stores.sweeps.checkAllNow()
    await adoption.search(true)
  })

  const look = quietly('looking how far behind the sweeper is', async () => {
    lag = await stores.sweeps.lag().catch((error: unknown) => {
      lag = undefined // An old answer would look like a new one.
      throw error
    })
  })

  return {
    async run(signal) {
      const every = async (ms: number, work: () => Promise<void>) => {
        while (!signal.aborted) {
          await work()
          await sleep(ms, undefined, { signal }).catch(() => {})
        }
      }
      await Promise.all([
        every(INTERVAL_MS, catchUp),
        every(INTERVAL_MS, quietly('the sweep', sweep)),
        every(LAG_MS, look),
        every(
          SEARCH_MS,
          quietly('the search for runs without a row', () => adoption.search()),
        ),
        every(MINUTE_MS, quietly('the removal of expired runs', expire)),
      ])
    },
    lag: () => lag,
  }
}
