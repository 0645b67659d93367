import type { Caller } from '../../caller.ts'
import { isFinished, type PublicStatus } from '../../engine/run-status.ts'
import { Problem, problem } from '../../errors.ts'
import type { RunRecord, RunSummaryRecord } from '../../stores/runs.ts'
import type { Metadata } from '../../stores/schema.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import { decodeCursor, type Page, pageOf } from './pagination.ts'
import { type RunSummaryView, type RunView, runView, summaryView } from './run-view.ts'
import { versionOf, type Waiters } from './waiters.ts'

export interface RunQuery {
  conversationId?: string
  status?: PublicStatus[]
  metadata?: Metadata
  runIds?: string[]
  limit: number
  cursor?: string
}

/** How long a poll may wait for a change, and from which state on. */
export interface LongPoll {
  milliseconds: number
  signal: AbortSignal
  /** Whether the caller has seen the run like this; one that has not is answered at once. */
  knows(run: RunView): boolean
}

export interface RunService {
  /**
   * One read; with `wait`, another one after the next change of an unfinished run, or when the time is up.
   * @throws Problem `run_not_found`, also for a foreign run
   */
  poll(caller: Caller, runId: string, wait?: LongPoll): Promise<RunView>
  /**
   * Waits until the run has ended, at most `milliseconds`; less when the service drains.
   * @returns undefined when it goes on, or cannot be seen (the database is away): nothing is lost
   */
  endWithin(
    caller: Caller,
    runId: string,
    milliseconds: number,
    signal: AbortSignal,
  ): Promise<RunView | undefined>
  /**
   * The run whose stream `id` stands for: the run itself, or the newest unfinished one of the conversation;
   * undefined when the conversation has none.
   * @throws Problem `run_not_found`, `conversation_not_found`
   */
  streamed(caller: Caller, id: string): Promise<{ runId: string; conversationId: string | null } | undefined>
  list(caller: Caller, query: RunQuery): Promise<Page<RunSummaryView>>
  /** Idempotent. The wish is stored first: it survives the engine being away (503) and this process. */
  cancel(caller: Caller, runId: string): Promise<RunView>
}

export function runService({ stores }: ServiceContext, waiters: Waiters, canceller: Canceller): RunService {
  async function find(caller: Caller, runId: string): Promise<RunRecord> {
    const run = await stores.runs.find(caller.userId, runId)
    if (run === undefined) throw problem('run_not_found')
    return run
  }

  /** A wake may tell of a change that the caller has seen already: then the wait goes on. */
  async function changed(caller: Caller, seen: RunRecord, { milliseconds, signal }: LongPoll) {
    const until = performance.now() + milliseconds
    const version = versionOf(seen)
    for (;;) {
      await waiters.changed(seen.runId, version, until - performance.now(), signal)
      const run = await find(caller, seen.runId)
      const isOver = signal.aborted || waiters.released() || until - performance.now() < 1
      if (isOver || versionOf(run) !== version) return run
    }
  }

  return {
    async poll(caller, runId, wait) {
      const run = await find(caller, runId)
      const view = await runView(run)
      if (wait === undefined || isFinished(run.status) || !wait.knows(view)) return view
      // From the state that was compared: a change since then is not slept over.
      return runView(await changed(caller, run, wait))
    },

    async endWithin(caller, runId, milliseconds, signal) {
      const until = performance.now() + milliseconds
      try {
        for (;;) {
          const run = await find(caller, runId)
          if (isFinished(run.status)) return await runView(run)
          const left = until - performance.now()
          if (left <= 0 || signal.aborted || waiters.released()) return undefined
          await waiters.changed(runId, versionOf(run), left, signal)
        }
      } catch (error) {
        if (error instanceof Problem) return undefined
        throw error
      }
    },

    async streamed(caller, id) {
      if (id.startsWith('run_')) {
        const { runId, conversationId } = await find(caller, id)
        return { runId, conversationId }
      }
      const conversationId = id.toLowerCase()
      if ((await stores.conversations.find(caller.userId, conversationId)) === undefined)
        throw problem('conversation_not_found')
      const runId = await stores.runs.newestUnfinished(caller.userId, conversationId)
      return runId === undefined ? undefined : { runId, conversationId }
    },

    async list(caller, { cursor, limit, ...filters }) {
      const [before] = decodeCursor(cursor, filters) ?? []
      const { rows, searchedTo } = await stores.runs.list(caller.userId, {
        ...filters,
        limit: limit + 1,
        ...(before === undefined ? {} : { before }),
      })
      const options = { item: summaryView, key: (run: RunSummaryRecord) => [run.id] }
      return pageOf(rows, limit, filters, {
        ...options,
        ...(searchedTo === undefined ? {} : { end: [searchedTo] }),
      })
    },

    async cancel(caller, runId) {
      const unfinished = await stores.runs.requestCancel(caller.userId, runId)
      if (unfinished !== undefined) await canceller.end(unfinished.turnId, runId)
      return runView(await find(caller, runId))
    },
  }
}
