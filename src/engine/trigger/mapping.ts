import { type Failure, failureOfOutput, parseFailure } from '../../agent/failure.ts'
import type { AgentOutput } from '../../agent/turn.ts'
import type { RunSnapshot, RunSummary } from '../run-engine.ts'
import { isEngineStatus, isWorkerLost, toFailureCode, toPublicStatus } from '../run-status.ts'
import type { EngineLog } from './calls.ts'
import { once } from './once.ts'
import { type EngineRun, faultOf, isOutput, isTurn, isWindow, readRun } from './parsing.ts'

export interface RunReader {
  /** @returns undefined for a row without an id, a known status or a time of creation; lists leave such a row out */
  summary(value: unknown): RunSummary | undefined
  /**
   * @returns undefined for an answer without an id. A run whose status this release does not know counts as running, and
   * its deadline ends it.
   */
  snapshot(value: unknown): RunSnapshot | undefined
}

/** Makes the service's runs of the engine's answers. A fault is logged once for each run. */
export function runReader(log: EngineLog): RunReader {
  const isNew = once()
  const tell = (level: 'warn' | 'error', runId: string, message: string, details: object = {}) => {
    if (isNew(`${runId} ${message}`)) log[level]({ runId, ...details }, message)
  }

  function payloadOf({ id, payload }: EngineRun): Pick<RunSnapshot, 'payload'> {
    if (isTurn(payload)) return { payload }
    if (payload !== undefined)
      tell('warn', id, 'the payload of a run could not be read', { fault: faultOf('payload', payload) })
    return {}
  }

  function withReadableWindow(id: string, { window, ...output }: AgentOutput): AgentOutput {
    if (window === undefined) return output
    if (isWindow(window)) return { ...output, window }
    tell('warn', id, 'what a run has kept for later prompts could not be read')
    return output
  }

  function ended(run: EngineRun): Partial<RunSnapshot> {
    const { id, status, output, errorMessage } = run
    if (!isEngineStatus(status)) {
      tell('error', id, 'a run has a status that this release does not know', { status })
      return { status: 'running' }
    }
    const ourStatus = toPublicStatus(status)
    if (ourStatus === 'completed') {
      const failure = failureOfOutput(output)
      if (failure !== undefined) return failed(failure)
      if (isOutput(output)) return { status: 'completed', output: withReadableWindow(id, output) }
      tell('error', id, 'the output of a run could not be read', { fault: faultOf('output', output) })
      return { status: 'failed', failureCode: 'output_unreadable' }
    }
    if (ourStatus !== 'failed' && !(ourStatus === 'cancelled' && isWorkerLost(errorMessage)))
      return { status: ourStatus }
    return failed(parseFailure(errorMessage) ?? { errorCode: toFailureCode(status, errorMessage) })
  }

  return {
    summary(value) {
      const run = readRun(value)
      const runId = run?.id ?? 'without an id'
      if (run?.createdAt !== undefined && isEngineStatus(run.status))
        return { ...common(run, run.createdAt), status: toPublicStatus(run.status) }
      tell('warn', runId, 'a run that could not be read was left out', { status: run?.status })
      return undefined
    },
    snapshot(value) {
      const run = readRun(value)
      if (run === undefined) return undefined
      return {
        ...common(run, run.createdAt ?? new Date(0)),
        status: 'running',
        ...ended(run),
        ...payloadOf(run),
      }
    },
  }
}

function failed({
  errorCode,
  retryAfter,
}: {
  errorCode: string
  retryAfter?: Failure['retryAfter']
}): Partial<RunSnapshot> {
  return {
    status: 'failed',
    failureCode: errorCode,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  }
}

function common({ id, tags, startedAt, finishedAt }: EngineRun, createdAt: Date): Omit<RunSummary, 'status'> {
  return {
    runId: id,
    tags,
    createdAt,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(finishedAt === undefined ? {} : { finishedAt }),
  }
}

/** The snapshot of a run that the local engine has lost, because it belonged to an earlier start of the engine. */
export const lostRun = (runId: string): RunSnapshot => ({
  runId,
  status: 'failed',
  tags: [],
  createdAt: new Date(0),
  failureCode: 'worker_lost',
})
