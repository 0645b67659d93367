import type { DispatchState, TurnStore } from '../../stores/turns.ts'
import { type ChangeWatch, changeWatch } from '../change-watch.ts'

/** The result of a turn's dispatch: its run, or no run, because the turn was removed or abandoned. */
export type DispatchResult = { runId: string } | { runId: undefined }

export interface Dispatches {
  /**
   * Waits until the dispatch of a turn by another start has a result, at most `milliseconds`.
   * @returns undefined when the turn is still being dispatched after that time
   */
  result(turnId: string, milliseconds: number): Promise<DispatchResult | undefined>
  /** Ends the waits for the turn, after this instance has recorded its run, or has removed or abandoned the turn. */
  wake: ChangeWatch['wake']
}

const DISPATCHING = 'dispatching'

/** Waits for dispatches that other starts have begun, in this instance or in another one. */
export function dispatches(turns: Pick<TurnStore, 'states'>): Dispatches {
  const watch = changeWatch(async (turnIds) => {
    const states = new Map((await turns.states(turnIds)).map((turn) => [turn.turnId, versionOf(turn)]))
    return new Map(turnIds.map((turnId) => [turnId, states.get(turnId) ?? 'gone']))
  })
  return {
    wake: watch.wake,
    async result(turnId, milliseconds) {
      for (const until = performance.now() + milliseconds; ; ) {
        const [turn] = await turns.states([turnId])
        if (turn === undefined || turn.state === 'abandoned') return { runId: undefined }
        if (turn.state === 'started' && turn.runId !== null) return { runId: turn.runId }
        const left = until - performance.now()
        if (left < 1) return undefined
        await watch.changed(turnId, DISPATCHING, left)
      }
    },
  }
}

const versionOf = ({ state }: DispatchState): string => (state === 'dispatching' ? DISPATCHING : state)
