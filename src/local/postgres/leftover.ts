import { execFile } from 'node:child_process'
import { readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Log } from './log.ts'

const run = promisify(execFile)

/**
 * Stops the server that a killed instance of the service left running on this cluster. The caller holds the lock of the
 * folder, so no other instance uses that server.
 *
 * The old server is not reused: a fresh one has the settings of this version and is a child that can be watched.
 */
export async function stopLeftover(cluster: string, log: Log): Promise<void> {
  const file = join(cluster, 'postmaster.pid')
  const pid = await recordedPid(file)
  if (pid === undefined) return
  if (await serves(pid, cluster)) {
    log.warn(
      `Stopping the database server (process ${pid}) that a killed instance of this service left running.`,
    )
    await endProcess(pid, cluster)
  } else if (send(pid, 0)) {
    // After a restart of the machine the process id belongs to another program, and Postgres would refuse to start.
    // The file of a dead server stays: by it Postgres finds out whether connections of that server live on.
    await rm(file, { force: true })
  }
}

/** Asks for a fast shutdown, then kills the server. Resolves when the process has ended. */
async function endProcess(pid: number, cluster: string): Promise<void> {
  for (const [signal, patience] of [
    ['SIGINT', 10_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const) {
    send(pid, signal)
    const deadline = Date.now() + patience
    while (Date.now() < deadline) {
      // In a container without a process that collects ended ones, kill(pid, 0) would succeed for ever.
      if (!(await serves(pid, cluster))) return
      await sleep(25)
    }
  }
  throw new Error(`The database server that was left behind (process ${pid}) does not stop. Stop it by hand.`)
}

/** @returns whether there is such a process, of this user or of another one */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

async function recordedPid(file: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(file, 'utf8'), 10) || undefined
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** A Postgres server works in its data folder and has it on its command line. */
async function serves(pid: number, cluster: string): Promise<boolean> {
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
  if (cwd) return cwd === cluster
  const shown = await run('ps', ['-o', 'command=', '-p', String(pid)], { timeout: 5_000 }).catch(
    () => undefined,
  )
  return shown?.stdout.includes(cluster) ?? false // ps fails when there is no such process.
}
