import { execFile } from 'node:child_process'
import { readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Log } from './log.ts'

const run = promisify(execFile)

/**
 * Stops the server that a killed process of ours left running on this cluster, and removes a pid file that
 * names no such server. Only for the holder of the folder's lock: it knows that nobody uses that server.
 *
 * A fresh server instead of the old one means one way to start, with today's settings and a child to watch.
 */
export async function stopLeftover(cluster: string, log: Log): Promise<void> {
  const file = join(cluster, 'postmaster.pid')
  const pid = await recordedPid(file)
  if (pid === undefined) return
  if (await serves(pid, cluster)) {
    log.warn(`A database server (process ${pid}) was left behind by a process that was killed. Stopping it.`)
    await endProcess(pid)
  }
  // After a restart of the machine the pid may be anybody's; Postgres would refuse to start for ever.
  await rm(file, { force: true })
}

/** Asks for a fast shutdown, then insists. Resolves when the process is gone. */
async function endProcess(pid: number): Promise<void> {
  for (const [signal, patience] of [
    ['SIGINT', 10_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const) {
    if (!send(pid, signal)) return
    const deadline = Date.now() + patience
    while (Date.now() < deadline) {
      await sleep(20)
      if (!send(pid, 0)) return
    }
  }
  throw new Error(`The database server that was left behind (process ${pid}) does not stop. Stop it by hand.`)
}

function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false // ESRCH: it is gone. EPERM cannot be: serves() saw that it is ours.
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
  const { stdout } = await run('ps', ['-o', 'command=', '-p', String(pid)], { timeout: 5_000 }).catch(() => ({
    stdout: '',
  }))
  return stdout.includes(cluster)
}
