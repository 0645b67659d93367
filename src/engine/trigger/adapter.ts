import { runs } from '@trigger.dev/sdk'
import { STEERED_BY } from '../../agent/steering.ts'
import { isEngineBusy, readFailure } from '../engine-error.ts'
import type { RunEngine } from '../run-engine.ts'
import { CALL_DEADLINE_MS, type CallOptions, type CallsOptions, engineCalls } from './calls.ts'
import { readChanges } from './changes.ts'
import { readChunks } from './chunks.ts'
import { lostRun, runReader } from './mapping.ts'
import { type EnginePage, readPage, readRun } from './parsing.ts'
import { clientOf, NO_SDK_RETRY, scopeOf, unchecked, unreadable } from './sdk.ts'
import { startRun } from './start.ts'

export interface EngineOptions extends CallsOptions {
  secretKey: string
  apiUrl: string
  /** See `RunEngine`. */
  listLagMs: number
}

type ListQuery = NonNullable<Parameters<typeof runs.list>[0]>

/** Deadline of a cancel with its repetitions. The caller gets an answer then, and the sweeper cancels later. */
const CANCEL_REPEAT_MS = 2_000
/** A message that steers waits this long at most for its run to be noted; it is answered in any case. */
const STEER_MS = 2_000
const PAGE = 100
/** Time for which an answer to any other call counts as an answer to a ping. */
const PING_MS = 15_000

/**
 * Trigger.dev through its SDK, with what the SDK lacks: deadlines that close the connection, bounded repetitions, one
 * budget of calls, answers that are parsed, and errors of the service's register.
 */
export function triggerRunEngine(options: EngineOptions): RunEngine {
  const { listLagMs, log } = options
  const calls = engineCalls(options)
  const scope = scopeOf(options)
  const reader = runReader(log)

  /** A call of the SDK; an answer that `read` finds to be none is a failure of the call. */
  const ask = <T>(
    name: string,
    work: () => PromiseLike<unknown>,
    read: (answer: unknown) => T | undefined,
    callOptions: CallOptions,
  ) => calls.make(name, () => scope(async () => read(await unchecked(work())) ?? unreadable()), callOptions)

  async function listPage(name: string, query: ListQuery, callOptions: CallOptions): Promise<EnginePage> {
    try {
      return await ask(name, () => runs.list(query, NO_SDK_RETRY), readPage, callOptions)
    } catch (error) {
      throw calls.problemOf(name, error)
    }
  }

  return {
    listLagMs,

    async ping(deadlineMs = CALL_DEADLINE_MS) {
      if (Date.now() - calls.answeredAt < PING_MS) return
      try {
        await listPage('ping', { limit: 1 }, { purpose: 'read', deadlineMs })
      } catch (error) {
        // The engine was not asked, so its last answer still counts.
        if (!isEngineBusy(error) || calls.answeredAt === 0) throw error
      }
    },

    start: (turn, startOptions) => startRun(calls, scope, turn, startOptions, listLagMs),

    async get(runId, purpose = 'read') {
      try {
        return await ask('retrieve', () => runs.retrieve(runId, NO_SDK_RETRY), reader.snapshot, { purpose })
      } catch (error) {
        const { status, headers } = readFailure(error)
        if (status !== 404) throw calls.problemOf('retrieve', error)
        return headers['x-run-lost'] === 'true' ? lostRun(runId) : undefined
      }
    },

    async *list({ tag, createdFrom }, purpose = 'sweep') {
      const query = { tag, limit: PAGE, ...(createdFrom === undefined ? {} : { from: createdFrom }) }
      let page = await listPage('list', query, { purpose })
      for (;;) {
        for (const value of page.runs) {
          const run = reader.summary(value)
          if (run !== undefined) yield run
        }
        if (page.next === undefined) return
        page = await listPage('list', { ...query, after: page.next }, { purpose })
      }
    },

    async cancel(runId, purpose = 'act') {
      try {
        await ask('cancel', () => runs.cancel(runId, NO_SDK_RETRY), readRun, {
          purpose,
          repeatMs: CANCEL_REPEAT_MS,
        })
      } catch (error) {
        // The engine does not know the run, so there is nothing to cancel.
        if (readFailure(error).status !== 404) throw calls.problemOf('cancel', error)
      }
    },

    async steer(runId, byRunId) {
      const operations = [{ type: 'append' as const, key: STEERED_BY, value: byRunId }]
      const send = async () => (await clientOf(scope)).updateRunMetadata(runId, { operations }, NO_SDK_RETRY)
      try {
        await calls.make('steer', () => scope(async () => unchecked(send())), {
          purpose: 'act',
          deadlineMs: STEER_MS,
        })
      } catch (error) {
        // The engine does not know the run, or the run has ended.
        if (![400, 404].includes(readFailure(error).status ?? 0)) throw calls.problemOf('steer', error)
      }
    },

    chunks: (runId, signal, readOptions = {}) => readChunks(calls, scope, runId, signal, readOptions),

    changes: (tag, signal) => readChanges(calls, scope, reader, tag, signal),
  }
}
