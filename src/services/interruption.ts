import { setTimeout as sleep } from 'node:timers/promises'
import { isFinished } from '../engine/run-status.ts'
import type { PendingDispatch, StartedTurn, TurnContext } from '../stores/turns.ts'
import type { Canceller } from './canceller.ts'
import type { ServiceContext } from './context.ts'

const WAIT_MS = 3_000
const LOOK_MS = 50

/**
 * Ends the runs ahead of a turn, partial answers kept, for at most 3 s, and reads what the conversation holds
 * then. They are marked to be cancelled already; one that has no id yet is ended as soon as it gets one. What
 * is not over in time stays ahead, and the sweeper ends it.
 */
export async function interrupt(
  { stores, log }: ServiceContext,
  canceller: Canceller,
  started: StartedTurn,
): Promise<TurnContext> {
  const turnIds = started.ahead.map((run) => run.turnId)
  const ending = new Set<string>()
  let stuck = false
  try {
    for (const until = performance.now() + WAIT_MS; !stuck && performance.now() < until; ) {
      const unfinished = (await stores.turns.pending(turnIds)).filter(isUnfinished)
      if (unfinished.length === 0) break
      for (const { turnId, runId } of unfinished) {
        if (runId === null || ending.has(turnId)) continue
        ending.add(turnId)
        canceller.end(turnId, runId).catch((error: unknown) => {
          log.warn({ err: error, turnId, runId }, 'the sweeper will cancel the interrupted run')
          stuck = true
        })
      }
      await sleep(LOOK_MS)
    }
    return await stores.turns.context(started.conversationId, started.position)
  } catch (error) {
    log.warn({ err: error, turnId: started.turnId }, 'starting behind runs that the sweeper will cancel')
    return started
  }
}

const isUnfinished = ({ status }: PendingDispatch): boolean =>
  status === 'dispatching' || (status !== 'abandoned' && !isFinished(status))
