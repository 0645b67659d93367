import type { RunState, RunStore } from '../../stores/runs.ts'
import { type ChangeWatch, changeWatch } from '../change-watch.ts'

export type Waiters = ChangeWatch

/** Waits of sync requests, long polls and viewers for a change of their run. */
export function waiters(runs: Pick<RunStore, 'states'>): Waiters {
  return changeWatch(
    async (runIds) => new Map((await runs.states(runIds)).map((run) => [run.runId, versionOf(run)])),
  )
}

/** The version of a run for waits. Every change that a caller can wait for changes it. */
export function versionOf({ status, cancelRequestedAt, ahead }: RunState): string {
  return JSON.stringify([status, cancelRequestedAt !== null, ahead])
}
