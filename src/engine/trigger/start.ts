import { runs, tasks } from '@trigger.dev/sdk'
import { AGENT_QUEUE, AGENT_TASK_ID, type AgentTurn } from '../../agent/turn.ts'
import { type CallFailure, DispatchError, isUndone, RETRY_SECONDS, readFailure } from '../engine-error.ts'
import type { StartOptions } from '../run-engine.ts'
import type { EngineCalls } from './calls.ts'
import { readPage, readRun } from './parsing.ts'
import { NO_SDK_RETRY, type Scope, unchecked, unreadable } from './sdk.ts'

const DEADLINE_MS = 10_000
/** An engine that is slow is asked once: its first answer is worth more than a second question. */
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
  const { deadlineMs = DEADLINE_MS, kind = 'act' } = options
  let isSent = false
  let mayExist = false

  const attempt = () =>
    scope(async () => {
      // The engine forgets the key of a failed run: sent blindly, the turn could run twice.
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
    return await calls.make('start', attempt, { kind, deadlineMs, attemptMs: ATTEMPT_MS, onFailure })
  } catch (error) {
    if (readFailure(error).status === 413)
      throw new DispatchError('engine_payload_too_large', 'refused', { cause: error })
    const told = calls.problemOf('start', error)
    const { detail, retryAfter = RETRY_SECONDS } = told.details
    // A later attempt may be refused while the run of an earlier one goes on.
    if (mayExist) throw new DispatchError('engine_unavailable', 'unknown', { retryAfter, cause: told })
    if (told.code === 'engine_refused')
      throw new DispatchError('engine_refused', 'refused', { ...(detail && { detail }), cause: told })
    throw new DispatchError('engine_unavailable', 'refused', { retryAfter, cause: told })
  }
}

/** The run that an earlier attempt of the same start has made. */
async function findRun({ tags, engineKey, except = [] }: StartOptions): Promise<string | undefined> {
  const answer = await unchecked(runs.list({ tag: tags.at(-1) ?? engineKey, limit: PAGE }, NO_SDK_RETRY))
  const { runs: found } = readPage(answer) ?? unreadable()
  return found
    .map(readRun)
    .find((run) => run !== undefined && run.status !== 'CANCELED' && !except.includes(run.id))?.id
}

async function trigger(turn: AgentTurn, options: StartOptions): Promise<string> {
  const { engineKey, concurrencyKey, tags, ttlSeconds, maxDurationSeconds, keySeconds } = options
  const { id } = await tasks.trigger(
    AGENT_TASK_ID,
    turn,
    {
      // Named here too: a run that comes before the worker has said which queue it is waits for ever.
      queue: AGENT_QUEUE,
      idempotencyKey: engineKey,
      idempotencyKeyTTL: `${keySeconds}s`,
      concurrencyKey,
      tags,
      ttl: ttlSeconds,
      maxDuration: maxDurationSeconds,
      maxAttempts: 1,
    },
    NO_SDK_RETRY,
  )
  return id
}
