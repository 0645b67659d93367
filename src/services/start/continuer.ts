import type { StoredContinuation } from '../../stores/actions.ts'
import type { ServiceContext } from '../context.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Dispatches } from './dispatches.ts'

export interface Continuer {
  /**
   * Dispatches a continuation. Any instance may do so: the engine has one run for it.
   * @returns its run; undefined when it has none, because the engine is away (the sweeper tries again) or because nobody
   * wants it any more
   */
  go(turnId: string): Promise<string | undefined>
}

/** The time that a dispatch may take, as that of a start. */
const DISPATCH_MS = 10_000

/** A continuation has no caller who would send it again, so it stays until it has its run. */
export function continuer(
  { stores, log, settings }: ServiceContext,
  dispatcher: Pick<Dispatcher, 'dispatch'>,
  dispatches: Pick<Dispatches, 'wake'>,
): Continuer {
  const patienceMs = (settings.ttlSeconds + settings.maxDurationSeconds) * 1000

  async function dispatch(turn: StoredContinuation): Promise<string | undefined> {
    const { turnId, userId, conversationId, input, position, continues } = turn
    const { message, assistantMessageId, asked } = input
    const stored = { ...turn, ...{ message, assistantMessageId, conversationId, continues } }
    const options = { asked: asked ?? {}, deadline: performance.now() + DISPATCH_MS }
    try {
      return await dispatcher.dispatch(
        { ...stored, position: position ?? 0, turnId, userId, idempotencyKey: null },
        options,
      )
    } catch (error) {
      log.warn({ err: error, turnId }, 'a turn could not go on yet; the sweeper dispatches it')
      return undefined
    }
  }

  return {
    async go(turnId) {
      const turn = await stores.actions.continuation(turnId)
      if (turn?.state === 'started') return turn.runId ?? undefined
      const isLate = turn !== undefined && Date.now() - Date.parse(turn.createdAt) > patienceMs
      if (turn !== undefined && !turn.cancelRequested && !isLate) return dispatch(turn)
      log.info({ turnId, isLate }, 'a turn does not go on: its calls are not executed')
      await stores.turns.remove(turnId)
      dispatches.wake(turnId)
      return undefined
    },
  }
}
