import type { RunSummary } from '../engine/run-engine.ts'
import { isFinished } from '../engine/run-status.ts'
import type { UnstoredTurn } from '../stores/turns.ts'
import { type ServiceContext, type StartOrigin, startTag, turnOf, unstoredTag } from './context.ts'
import { subscribe } from './subscription.ts'

/** A run that some instance has started without the database. */
export type HeardRun = Pick<RunSummary, 'runId' | 'status' | 'tags'> & { turnId: string }

/** What this instance knows of runs that were started while a database was away and may be without their rows. */
export interface UnstoredRuns {
  /** Hears of those of every instance, from the engine, until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void>
  /** One that this instance has started. */
  remember(turn: UnstoredTurn): void
  /** Those of a start. */
  of(origin: StartOrigin): Array<Pick<RunSummary, 'runId' | 'status'>>
  remembered(): UnstoredTurn[]
  /** Those that whoever started them has had time to store, at most a hundred. */
  heard(): HeardRun[]
  forget(runId: string): void
}

/** What an outage may leave behind in memory; beyond it the search of the engine's lists finds the rest. */
const REMEMBERED = 10_000
const BATCH = 100
const GRACE_MS = 5_000
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The turn whose run that is; undefined for what no service has started. */
export function turnIdOf({ tags }: Pick<RunSummary, 'tags'>): string | undefined {
  const turnId = turnOf(tags)
  return turnId !== undefined && UUID.test(turnId) ? turnId : undefined
}

export function unstoredRuns(
  context: Pick<ServiceContext, 'engine' | 'log' | 'tags' | 'stores'>,
  { graceMs = GRACE_MS } = {},
): UnstoredRuns {
  const own = new Map<string, { turn: UnstoredTurn; tag: string }>()
  const heard = new Map<string, HeardRun & { dueAt: number }>()

  function hear(run: RunSummary): void {
    const turnId = turnIdOf(run)
    if (turnId === undefined || (heard.size >= REMEMBERED && !heard.has(run.runId))) return
    // Not all instances at once: the first one makes the others' look-up unnecessary.
    const dueAt = heard.get(run.runId)?.dueAt ?? performance.now() + graceMs * (1 + Math.random())
    heard.set(run.runId, { runId: run.runId, status: run.status, tags: run.tags, turnId, dueAt })
    // Whoever follows it cannot write its end. Without the database here either, it is looked at later.
    if (isFinished(run.status)) context.stores.sweeps.checkRun(run.runId).catch(() => {})
  }

  return {
    watch: (signal) => subscribe(context, () => unstoredTag(context.tags), hear, signal),
    remember(turn) {
      if (own.size < REMEMBERED) own.set(turn.runId, { turn, tag: startTag(turn) })
    },
    of(origin) {
      if (own.size + heard.size === 0) return []
      const tag = startTag(origin)
      const told = [...heard.values()].filter(({ tags }) => tags.includes(tag))
      const untold = [...own].filter(([runId, start]) => start.tag === tag && !heard.has(runId))
      return [...told, ...untold.map(([runId]) => ({ runId, status: 'queued' as const }))]
    },
    remembered: () => [...own.values()].map(({ turn }) => turn),
    heard: () => [...heard.values()].filter(({ dueAt }) => dueAt <= performance.now()).slice(0, BATCH),
    forget(runId) {
      own.delete(runId)
      heard.delete(runId)
    },
  }
}
