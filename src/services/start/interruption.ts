import { setTimeout as sleep } from 'node:timers/promises'
import type { TurnAhead, TurnContext } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import type { Dispatches } from './dispatches.ts'

const WAIT_MS = 3_000

/**
 * Cancels unfinished turns, keeps their partial answers, and reads the context of the turn again. Takes at most 3 s.
 * The wish to cancel is stored already. A turn that has no run yet is cancelled as soon as it has one. A run that has
 * not ended in time stays ahead of the turn, unless the turn has replaced it, and the sweeper cancels it.
 */
export async function interrupt(
  { stores, log }: ServiceContext,
  { canceller, dispatches }: { canceller: Canceller; dispatches: Dispatches },
  turn: TurnContext & { conversationId: string; position: number },
  unfinished: TurnAhead[],
): Promise<TurnContext> {
  const ending = unfinished.map(async ({ turnId, runId }) => {
    const result = runId === null ? await dispatches.result(turnId, WAIT_MS) : { runId }
    if (result?.runId !== undefined) await canceller.end(turnId, result.runId)
  })
  const clock = new AbortController()
  try {
    const late = sleep(WAIT_MS, undefined, { signal: clock.signal }).catch(() => {})
    await Promise.race([Promise.all(ending), late])
    return await stores.turns.context(turn.conversationId, turn.position)
  } catch (error) {
    log.warn(
      { err: error },
      'a turn starts behind runs that could not be interrupted; the sweeper cancels them',
    )
    return turn
  } finally {
    clock.abort()
  }
}
