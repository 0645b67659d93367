import { runs } from '@trigger.dev/sdk'
import { isEngineBusy, readFailure } from '../engine-error.ts'
import type { RunEngine } from '../run-engine.ts'
import { CALL_DEADLINE_MS, type CallOptions, type CallsOptions, engineCalls } from './calls.ts'
import { readChanges } from './changes.ts'
import { readChunks } from './chunks.ts'
import { lostRun, runReader } from './mapping.ts'
import { type EnginePage, readPage, readRun } from './parsing.ts'
import { NO_SDK_RETRY, scopeOf, unchecked, unreadable } from './sdk.ts'
import { startRun } from './start.ts'

export interface EngineOptions extends CallsOptions {
  secretKey: string
  apiUrl: string
  /** See `RunEngine`. */
  listLagMs: number
}

type ListQuery = NonNullable<Parameters<typeof runs.list>[0]>

/** For how long a cancel is repeated: its caller is told within 3 s, and the sweeper cancels later. */
const CANCEL_REPEAT_MS = 2_000
const PAGE = 100
/** For how long an answer of any call counts as one to a ping. */
const PING_MS = 15_000

/**
 * Trigger.dev through its SDK, with what the SDK lacks: deadlines that close the connection, bounded repetitions, one
 * budget of calls, answers that are parsed, and errors of our register.
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
        await listPage('ping', { limit: 1 }, { kind: 'look', deadlineMs })
      } catch (error) {
        // Nothing was asked: what the engine has told last still holds.
        if (!isEngineBusy(error) || calls.answeredAt === 0) throw error
      }
    },

    start: (turn, startOptions) => startRun(calls, scope, turn, startOptions, listLagMs),

    async get(runId, kind = 'look') {
      try {
        return await ask('retrieve', () => runs.retrieve(runId, NO_SDK_RETRY), reader.snapshot, { kind })
      } catch (error) {
        const { status, headers } = readFailure(error)
        if (status !== 404) throw calls.problemOf('retrieve', error)
        return headers['x-run-lost'] === 'true' ? lostRun(runId) : undefined
      }
    },

    async *list({ tag, createdFrom }, kind = 'sweep') {
      const query = { tag, limit: PAGE, ...(createdFrom === undefined ? {} : { from: createdFrom }) }
      let page = await listPage('list', query, { kind })
      for (;;) {
        for (const value of page.runs) {
          const run = reader.summary(value)
          if (run !== undefined) yield run
        }
        if (page.next === undefined) return
        page = await listPage('list', { ...query, after: page.next }, { kind })
      }
    },

    async cancel(runId, kind = 'act') {
      try {
        await ask('cancel', () => runs.cancel(runId, NO_SDK_RETRY), readRun, {
          kind,
          repeatMs: CANCEL_REPEAT_MS,
        })
      } catch (error) {
        // Unknown to the engine: there is nothing left to cancel.
        if (readFailure(error).status !== 404) throw calls.problemOf('cancel', error)
      }
    },

    chunks: (runId, signal, readOptions = {}) => readChunks(calls, scope, runId, signal, readOptions),

    changes: (tag, signal) => readChanges(calls, scope, reader, tag, signal),
  }
}
