import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { bootOf, type EngineRun, engineRuns } from './engine-runs.ts'

export interface WorkerKill {
  of: 'worker'
  /** What it executed; undefined for a spare one. */
  runId: string | undefined
}

/** A process that executed runs was killed: those runs, and no others, may have failed. */
export type Kill =
  | WorkerKill
  | {
      of: 'engine'
      at: number
      backAt: number
      /** What it had run until then. */
      had: EngineRun[]
      /** Runs whose end was stored before. */
      ended: Set<string>
    }

interface FailedRun {
  run_id: string | null
  error_code: string | null
}

/** A child's exit is known to the engine by then, its last output included. */
const EXIT_MS = 2_500

/** Kills a worker, and finds out which run it had. */
export async function killWorker(cluster: Cluster, pid: number): Promise<WorkerKill> {
  // It can neither end its run nor take another one while it is looked at.
  process.kill(pid, 'SIGSTOP')
  const executing = new Set(
    (await engineRuns(cluster)).filter(({ status }) => /EXECUTING|DEQUEUED/.test(status)).map(({ id }) => id),
  )
  process.kill(pid, 'SIGKILL')
  for (const end = Date.now() + EXIT_MS; Date.now() < end; await sleep(50)) {
    const crashed = (await engineRuns(cluster)).find(
      ({ id, status }) => executing.has(id) && status === 'CRASHED',
    )
    if (crashed !== undefined) return { of: 'worker', runId: crashed.id }
  }
  return { of: 'worker', runId: undefined } // It was a spare.
}

/** Kills the engine and starts it again: what it had not told is lost. */
export async function killEngine(cluster: Cluster): Promise<Kill> {
  const client = await cluster.connect()
  const had = await engineRuns(cluster)
  const { rows } = await client.query<{ run_id: string }>(
    `select run_id from runs where status in ('completed', 'failed', 'cancelled') and run_id is not null`,
  )
  const at = Date.now()
  await cluster.engine.process.kill()
  await client.end()
  await cluster.engine.process.start()
  return { of: 'engine', at, backAt: Date.now(), had, ended: new Set(rows.map(({ run_id }) => run_id)) }
}

/** Runs that were made after the last look at the engine are told by their ids. */
const isOf = (runId: string, [newest]: EngineRun[]): boolean =>
  newest !== undefined && bootOf(runId) === bootOf(newest.id)

/** Whether the run failed because its process was killed. */
export const isExcused = ({ run_id, error_code }: FailedRun, kills: Kill[]): boolean =>
  run_id !== null &&
  kills.some((kill) =>
    kill.of === 'worker'
      ? error_code === 'crashed' && run_id === kill.runId
      : error_code === 'worker_lost' && isOf(run_id, kill.had) && !kill.ended.has(run_id),
  )

/**
 * Whether a worker could not be told about the run ahead of its own: the engine that had it was gone, before its end
 * was stored or while the turn behind it was being started.
 */
export const isForgotten = (
  ahead: { run_id: string | null },
  behind: { sentAt: number; acceptedAt: number },
  kills: Kill[],
): boolean =>
  kills.some((kill) => {
    if (kill.of !== 'engine' || ahead.run_id === null || !isOf(ahead.run_id, kill.had)) return false
    const wasStarting = behind.sentAt <= kill.backAt && kill.at <= behind.acceptedAt
    return wasStarting || !kill.ended.has(ahead.run_id)
  })
