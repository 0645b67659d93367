import { setTimeout as sleep } from 'node:timers/promises'
import type { TurnContext } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import type { Dispatches } from './dispatches.ts'

const WAIT_MS = 3_000

/**
 * Ends the runs ahead of a turn, partial answers kept, for at most 3 s, and reads what the conversation holds then.
 * The runs are marked to be cancelled already; a turn that has no run yet is ended as soon as it gets one. What is not
 * over in time stays ahead, and the sweeper ends it.
 */
export async function interrupt(
  { stores, log }: ServiceContext,
  { canceller, dispatches }: { canceller: Canceller; dispatches: Dispatches },
  turn: TurnContext & { conversationId: string; position: number },
): Promise<TurnContext> {
  const ending = turn.ahead.map(async ({ turnId, runId }) => {
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
