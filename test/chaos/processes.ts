import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A child process that can be killed and started again at the same address. */
export interface Restartable {
  readonly pid: number | undefined
  /** How often the process has ended without being killed. */
  readonly deaths: number
  start(): Promise<void>
  /** Sends SIGKILL. Resolves when the process has ended. */
  kill(): Promise<void>
  /** Sends SIGTERM. Resolves when the process has ended by itself. */
  end(): Promise<void>
  /** Sends SIGSTOP: the process stands still, and its connections stay open. */
  freeze(): void
  thaw(): void
}

/** @param ready resolves to true once the process answers requests */
export function restartable(
  file: string,
  env: Record<string, string>,
  ready: () => Promise<boolean>,
): Restartable {
  let child: ChildProcess | undefined
  let deaths = 0

  async function stop(signal: NodeJS.Signals): Promise<void> {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const exited = once(ending, 'exit')
    ending.kill(signal)
    await exited
  }

  return {
    get pid() {
      return child?.pid
    },
    get deaths() {
      return deaths
    },
    async start() {
      const started = spawn(process.execPath, [file], {
        env: { PATH: process.env.PATH ?? '', ...env },
        stdio: process.env.CHAOS_LOG ? ['ignore', 2, 2] : 'ignore',
      })
      child = started
      const end = () => started.kill('SIGKILL')
      process.once('exit', end)
      started.once('exit', () => {
        process.off('exit', end)
        if (child === started) deaths += 1
      })
      while (!(await ready().catch(() => false))) {
        if (started.exitCode !== null || started.signalCode !== null) {
          if (child !== started) return
          throw new Error(`${file} ended with ${started.exitCode ?? started.signalCode} while it started`)
        }
        await sleep(50)
      }
    },
    kill: () => stop('SIGKILL'),
    end: () => stop('SIGTERM'),
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
  }
}

/** A port on which no process listens at this moment. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

/** The child processes of `pid` that have the file on their command line. */
export function childrenOf(pid: number, file: string): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
    return children
      .filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(file))
      .map(Number)
  } catch {
    return [] // A child process has ended meanwhile.
  }
}
