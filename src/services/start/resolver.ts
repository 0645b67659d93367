import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import type { DispatchState } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import { runsTagged, type StartOrigin, startTag } from '../run-tags.ts'
import type { Dispatches } from './dispatches.ts'

export interface Resolver {
  /**
   * The runs that the engine has for a start, cancelled ones included.
   * @param patient looks a second time, after the lag of the engine's lists, when there is none
   */
  runsOf(origin: StartOrigin, options: { kind: 'look' | 'sweep'; patient: boolean }): Promise<RunSummary[]>
  /**
   * Decides about a turn whose lease has ended or that was abandoned, by what the engine has for it: the turn gets its run, or
   * it is removed. The run of a turn without a key whose caller was told that the start failed is stopped instead,
   * since no caller can ask for it. Rejects, and changes nothing, when the engine does not answer.
   * @returns the run that the turn has got
   */
  resolve(turn: DispatchState): Promise<RunSummary | undefined>
}

const MS_PER_DAY = 86_400_000

export function resolver(
  { stores, engine, log, settings }: ServiceContext,
  dispatches: Dispatches,
): Resolver {
  async function runsOf(
    origin: StartOrigin,
    { kind, patient }: { kind: 'look' | 'sweep'; patient: boolean },
  ) {
    // The engine keeps a key, and the service its row, for so long.
    const keptSince = new Date(Date.now() - settings.retentionDays * MS_PER_DAY)
    const runs = await runsTagged(engine, startTag(origin), kind, keptSince)
    if (runs.length > 0 || !patient || engine.listLagMs === 0) return runs
    await sleep(engine.listLagMs)
    return runsTagged(engine, startTag(origin), kind, keptSince)
  }

  return {
    runsOf,
    async resolve(turn) {
      const { turnId, state, idempotencyKey, deleted } = turn
      if (state === 'started') return undefined
      const runs = await runsOf(turn, { kind: 'sweep', patient: false })
      const run = runs.find(({ status }) => status !== 'cancelled')
      const isWanted = !deleted && (state === 'dispatching' || idempotencyKey !== null)
      try {
        if (run !== undefined && isWanted) {
          const recorded = await stores.turns.record(turnId, run.runId, { revive: true })
          log.info({ turnId, runId: run.runId, recorded }, 'a turn got the run that the engine has for it')
          return recorded.state === 'recorded' ? run : undefined
        }
        for (const { runId, status } of runs) {
          if (isFinished(status)) continue
          log.warn({ turnId, runId }, 'stopping the run of a start whose caller was told that it failed')
          await engine.cancel(runId, 'sweep')
        }
        await stores.turns.remove(turnId)
        return undefined
      } finally {
        dispatches.wake(turnId)
      }
    },
  }
}
