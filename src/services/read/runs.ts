import type { Caller } from '../../caller.ts'
import { isFinished, type PublicStatus } from '../../engine/run-status.ts'
import { Problem, problem } from '../../errors.ts'
import type { RunRecord, RunSummaryRecord } from '../../stores/runs.ts'
import type { Metadata } from '../../stores/schema.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import type { StartedRun } from '../start/turns.ts'
import { decodeCursor, type Page, pageOf } from './pagination.ts'
import { type RunSummaryView, type RunView, runView, summaryView } from './run-view.ts'
import { versionOf, type Waiters } from './waiters.ts'

export interface RunQuery {
  conversationId?: string
  status?: PublicStatus[]
  metadata?: Metadata
  agent?: string
  runIds?: string[]
  /** Only runs whose turns wait for answers to their actions. */
  pending?: boolean
  limit: number
  cursor?: string
}

export interface PollOptions {
  /** Whether the caller has the contents already. The view of an ended run then leaves them out. */
  hasContents?: boolean
  wait?: LongPoll | undefined
}

/** How long a poll may wait for a change, and which state the caller knows. */
export interface LongPoll {
  milliseconds: number
  signal: AbortSignal
  /** Whether the caller knows this state of the run. If not, the poll is answered at once. */
  knows(run: RunView): boolean
}

export interface RunService {
  /**
   * Reads the run once. With `wait`, it reads an unfinished run again after the next change, or when the time is up.
   * @throws Problem `run_not_found`, also for a run of another user, and when the conversation is deleted during the wait
   */
  poll(caller: Caller, runId: string, options?: PollOptions): Promise<RunView>
  /**
   * Waits until the run has ended, at most `milliseconds`, or until the instance drains.
   * @returns undefined when the run goes on, or when the database is away; a later poll can still read the run
   * @throws Problem `run_not_found` when the conversation of the run was deleted
   */
  endWithin(
    caller: Caller,
    started: StartedRun,
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
  /**
   * Cancels a run. It may be repeated. The wish to cancel is stored first, so the sweeper cancels the run when the engine
   * is away (503) or when this process dies.
   */
  cancel(caller: Caller, runId: string): Promise<RunView>
}

export interface RunParts {
  waiters: Waiters
  canceller: Canceller
  /** Adopts a run that was started while the database was away. @returns whether the run has its row now */
  adoptAtOnce: (userId: string, runId: string) => Promise<boolean>
}

export function runService({ stores }: ServiceContext, parts: RunParts): RunService {
  const { waiters, canceller, adoptAtOnce } = parts

  /** Makes the statement. When it finds no row, adopts the run and makes the statement again. */
  async function known<T>({ userId }: Caller, runId: string, statement: () => Promise<T | undefined>) {
    const found = await statement()
    return found === undefined && (await adoptAtOnce(userId, runId)) ? statement() : found
  }

  async function find(caller: Caller, runId: string, hasContents = false): Promise<RunRecord> {
    const run = await known(caller, runId, () => stores.runs.find(caller.userId, runId, hasContents))
    if (run === undefined) throw problem('run_not_found')
    return run
  }

  /** Waits for a version of the run that differs from `seen`. After a wake without a new version, the wait goes on. */
  async function changed(caller: Caller, seen: RunRecord, { milliseconds, signal }: LongPoll) {
    const until = performance.now() + milliseconds
    const version = versionOf(seen)
    for (;;) {
      await waiters.changed(seen.runId, version, until - performance.now(), signal)
      const run = await stores.runs.find(caller.userId, seen.runId)
      if (run === undefined) throw deleted()
      const isOver = signal.aborted || waiters.released() || until - performance.now() < 1
      if (isOver || versionOf(run) !== version) return run
    }
  }

  /** Whether a run without a row was deleted. A run that was started while the database was away has no row yet. */
  async function isDeleted(caller: Caller, { conversationId, replayed }: StartedRun): Promise<boolean> {
    if (conversationId === undefined) return replayed
    return (await stores.conversations.find(caller.userId, conversationId)) === undefined
  }

  return {
    async poll(caller, runId, { hasContents, wait } = {}) {
      const run = await find(caller, runId, hasContents)
      const view = await runView(run)
      if (wait === undefined || isFinished(run.status) || !wait.knows(view)) return view
      // The wait compares with the state that was read above, so a change since then ends the wait at once.
      return runView(await changed(caller, run, wait))
    },

    async endWithin(caller, started, milliseconds, signal) {
      const { runId } = started
      const until = performance.now() + milliseconds
      try {
        for (;;) {
          const run = await stores.runs.find(caller.userId, runId)
          if (run === undefined) {
            if (await isDeleted(caller, started)) throw deleted()
            return undefined
          }
          if (isFinished(run.status)) return await runView(run)
          const left = until - performance.now()
          if (left <= 0 || signal.aborted || waiters.released()) return undefined
          await waiters.changed(runId, versionOf(run), left, signal)
        }
      } catch (error) {
        if (error instanceof Problem && error.code !== 'run_not_found') return undefined
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
      const unfinished = await known(caller, runId, () => stores.runs.requestCancel(caller.userId, runId))
      if (unfinished !== undefined) await canceller.end(unfinished.turnId, runId)
      else await stores.actions.cancel(caller.userId, runId)
      return runView(await find(caller, runId))
    },
  }
}

/** The caller waits for a run that existed, so a missing row means that its conversation was deleted. */
const deleted = () =>
  problem('run_not_found', { detail: 'The conversation of this run was deleted, and the run was cancelled.' })
