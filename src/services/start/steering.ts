import type { TurnAhead } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import type { Dispatches } from './dispatches.ts'

/**
 * Has the runs ahead of a new run end between two of their steps. The new run is queued behind them already, so it
 * begins then, and its prompt holds what they have done. A run that hears nothing of it, or makes no further step, ends
 * as usual. So the message is answered once in any case, and nothing that fails here fails its start.
 *
 * @param runId the run of the message that steers
 * @param ahead the unfinished turns of the conversation in front of it
 */
export async function steer(
  { engine, log }: ServiceContext,
  { dispatches, runId }: { dispatches: Pick<Dispatches, 'result'>; runId: string },
  ahead: TurnAhead[],
): Promise<void> {
  await Promise.all(
    ahead.map(async (turn) => {
      // The turns ahead had runs before this one was sent.
      const result = turn.runId === null ? await dispatches.result(turn.turnId, 0) : { runId: turn.runId }
      if (result?.runId === undefined) return
      const steered = result.runId
      await engine.steer(steered, runId).catch((error: unknown) => {
        log.warn(
          { err: error, runId, steered },
          'a run could not be told that a message steers it; the message is answered after it',
        )
      })
    }),
  )
}
