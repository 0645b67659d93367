import { setTimeout as sleep } from 'node:timers/promises'
import type { RunSummary } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import type { DispatchState } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import { runsTagged, type StartOrigin, startTag } from '../run-tags.ts'
import type { Continuer } from './continuer.ts'
import type { Dispatches } from './dispatches.ts'

export interface Resolver {
  /**
   * The runs that the engine has for a start, cancelled ones included.
   * @param patient whether an empty list is read a second time, after the lag of the engine's lists
   */
  runsOf(origin: StartOrigin, options: { purpose: 'read' | 'sweep'; patient: boolean }): Promise<RunSummary[]>
  /**
   * Decides about a turn whose lease has ended, or that was abandoned. If the engine has a run for the turn, the run is
   * recorded; else the turn is removed, and a continuation is dispatched. The run of an abandoned turn without a key is cancelled, since no caller can
   * ask for it. Rejects, and changes nothing, when the engine does not answer.
   * @returns the run that was recorded
   */
  resolve(turn: DispatchState): Promise<RunSummary | undefined>
}

const MS_PER_DAY = 86_400_000

export function resolver(
  { stores, engine, log, settings }: ServiceContext,
  dispatches: Dispatches,
  continuer: Continuer,
): Resolver {
  async function runsOf(
    origin: StartOrigin,
    { purpose, patient }: { purpose: 'read' | 'sweep'; patient: boolean },
  ) {
    // The engine remembers a key, and the database its turn, for this many days.
    const keptSince = new Date(Date.now() - settings.retentionDays * MS_PER_DAY)
    const runs = await runsTagged(engine, startTag(origin), purpose, keptSince)
    if (runs.length > 0 || !patient || engine.listLagMs === 0) return runs
    await sleep(engine.listLagMs)
    return runsTagged(engine, startTag(origin), purpose, keptSince)
  }

  return {
    runsOf,
    async resolve(turn) {
      const { turnId, state, idempotencyKey, deleted, isContinuation } = turn
      if (state === 'started') return undefined
      const runs = await runsOf(turn, { purpose: 'sweep', patient: false })
      // A retry of the key gets another run than a cancelled one. Nobody asks for a continuation again.
      const run = isContinuation ? runs[0] : runs.find(({ status }) => status !== 'cancelled')
      const isWanted = !deleted && (state === 'dispatching' || idempotencyKey !== null)
      try {
        if (run !== undefined && isWanted) {
          const recorded = await stores.turns.record(turnId, run.runId, { revive: true })
          log.info(
            { turnId, runId: run.runId, recorded },
            'the run that the engine has for a turn was recorded',
          )
          return recorded.state === 'recorded' ? run : undefined
        }
        if (isContinuation && !deleted) return void (await continuer.go(turnId))
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
