import { runs } from '@trigger.dev/sdk'
import type { AgentTurn } from '../../agent/turn.ts'
import { type CallFailure, DispatchError, isUndone, RETRY_SECONDS, readFailure } from '../engine-error.ts'
import type { StartOptions } from '../run-engine.ts'
import type { EngineCalls } from './calls.ts'
import { readPage, readRun } from './parsing.ts'
import { NO_SDK_RETRY, type Scope, unchecked, unreadable } from './sdk.ts'
import { trigger } from './trigger.ts'

const DEADLINE_MS = 10_000
/** Deadline of one attempt. It is long, because a slow engine gains nothing from a second attempt. */
const ATTEMPT_MS = 6_000
const PAGE = 100

/** Starts a run; see `RunEngine.start`. */
export async function startRun(
  calls: EngineCalls,
  scope: Scope,
  turn: AgentTurn,
  options: StartOptions,
  listLagMs: number,
): Promise<string> {
  const { deadlineMs = DEADLINE_MS, purpose = 'act' } = options
  let isSent = false
  let mayExist = false

  const attempt = () =>
    scope(async () => {
      // The engine forgets the key of a failed run, so a start that does not ask for the run first could run the turn twice.
      const known = mayExist ? await findRun(options) : undefined
      if (known !== undefined) return known
      isSent = true
      return trigger(turn, options)
    })

  const onFailure = (failure: CallFailure) => {
    mayExist ||= isSent && !isUndone(failure)
    return mayExist ? listLagMs : 0
  }

  try {
    return await calls.make('start', attempt, { purpose, deadlineMs, attemptMs: ATTEMPT_MS, onFailure })
  } catch (error) {
    if (readFailure(error).status === 413)
      throw new DispatchError('engine_payload_too_large', 'refused', { cause: error })
    const told = calls.problemOf('start', error)
    const { detail, retryAfter = RETRY_SECONDS } = told.details
    // The engine may refuse a later attempt while the run of an earlier attempt goes on.
    if (mayExist) throw new DispatchError('engine_unavailable', 'unknown', { retryAfter, cause: told })
    if (told.code === 'engine_refused')
      throw new DispatchError('engine_refused', 'refused', { ...(detail && { detail }), cause: told })
    throw new DispatchError('engine_unavailable', 'refused', { retryAfter, cause: told })
  }
}

/** The run that an earlier attempt of the same start has created. */
async function findRun({ tags, engineKey }: StartOptions): Promise<string | undefined> {
  const answer = await unchecked(runs.list({ tag: tags.at(-1) ?? engineKey, limit: PAGE }, NO_SDK_RETRY))
  const { runs: found } = readPage(answer) ?? unreadable()
  return found.map(readRun).find((run) => run !== undefined && run.status !== 'CANCELED')?.id
}
