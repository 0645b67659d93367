import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { bootOf, type EngineRun, engineRuns } from './engine-runs.ts'

export interface WorkerKill {
  of: 'worker'
  /** The run that the worker executed; undefined when the worker executed no run. */
  runId: string | undefined
}

/** A killed worker or engine. Only the runs of killed processes may fail. */
export type Kill =
  | WorkerKill
  | {
      of: 'engine'
      at: number
      backAt: number
      /** All runs that the engine had made before it was killed. */
      had: EngineRun[]
      /** Runs whose end was stored before the kill. */
      ended: Set<string>
    }

interface FailedRun {
  run_id: string | null
  error_code: string | null
}

/** The time after which the engine knows that a worker has ended and has read the worker's last output. */
const EXIT_MS = 2_500

/** Kills a worker and finds the run that the worker executed. */
export async function killWorker(cluster: Cluster, pid: number): Promise<WorkerKill> {
  const crashedRuns = async () => (await engineRuns(cluster)).filter(({ status }) => status === 'CRASHED')
  const before = new Set((await crashedRuns()).map(({ id }) => id))
  // The engine may have given the worker a run a moment ago, so only the crash itself tells which run it was.
  process.kill(pid, 'SIGKILL')
  for (const end = Date.now() + EXIT_MS; Date.now() < end; await sleep(50)) {
    const crashed = (await crashedRuns()).find(({ id }) => !before.has(id))
    if (crashed !== undefined) return { of: 'worker', runId: crashed.id }
  }
  return { of: 'worker', runId: undefined } // The killed worker executed no run, so no run failed.
}

/** Kills the engine and starts it again. Ends that the engine had not yet told to an instance are lost. */
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

/** Whether the killed engine made the run. The ids tell it, also for runs made after the test had listed the runs. */
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
 * Whether a run that was started without the database was lost with its engine before it had its rows: the local engine
 * keeps runs in its memory alone.
 */
export const isLost = (
  { runId, conversationId }: { runId: string; conversationId?: string | undefined },
  kills: Kill[],
): boolean =>
  conversationId === undefined && kills.some((kill) => kill.of === 'engine' && isOf(runId, kill.had))

/**
 * Whether the worker of the turn behind could not learn of the run ahead: the engine that had the run ahead was killed
 * before the end of that run was stored, or while the turn behind was being started.
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
