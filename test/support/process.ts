import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Teardown } from './service.ts'

export interface Running {
  child: ChildProcess
  /** The output of the process so far, both standard output and standard error. */
  output(): string
  /** The first line that matches. Rejects when the process ends without such a line. */
  line(pattern: RegExp): Promise<RegExpMatchArray>
  /** How the process ended. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** Sends a signal to the process, or to its whole group as a terminal does. */
  signal(signal: NodeJS.Signals, to?: 'process' | 'group'): void
}

export interface SpawnOptions {
  environment?: Record<string, string>
  uid?: number
}

/**
 * Starts a program of the repository. Of this process's environment it sees PATH and the compile cache alone, and it
 * reads no `.env`. The teardown kills it.
 */
export function startProcess(
  t: Teardown,
  [program = process.execPath, ...args]: string[],
  { environment = {}, uid }: SpawnOptions = {},
): Running {
  const { PATH, NODE_COMPILE_CACHE = '' } = process.env
  const settings = Object.entries({ PATH, NODE_COMPILE_CACHE, ENV_FILE: '', ...environment }).map((pair) =>
    pair.join('='),
  )
  // `env -i`, because the test runner adds variables to every process that a test starts.
  const child = spawn('env', ['-i', ...settings, program, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  const lines: string[] = []
  const watchers = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      for (const check of watchers) check()
    })
  }
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, signal: child.signalCode }))
  const kill = (signal: NodeJS.Signals, to: 'process' | 'group') => {
    const pid = child.pid ?? 0
    try {
      process.kill(to === 'group' ? -pid : pid, signal)
    } catch {
      // ESRCH: the process has ended already.
    }
  }
  t.teardown(async () => {
    kill('SIGKILL', 'group')
    await ended
  })

  return {
    child,
    ended,
    output: () => lines.join('\n'),
    signal: (signal, to = 'process') => kill(signal, to),
    line(pattern) {
      return new Promise((resolve, reject) => {
        const check = () => {
          const found = lines.map((line) => line.match(pattern)).find((match) => match !== null)
          if (found) resolve(found)
          return found !== undefined
        }
        if (check()) return
        watchers.add(check)
        ended.then(() => reject(new Error(`ended without ${pattern}:\n${lines.join('\n')}`)))
      })
    },
  }
}

/**
 * The processes whose command line or environment contains the text. With it a test finds processes that a start has
 * left behind. It works on Linux only.
 */
export function processesWith(text: string): string[] {
  if (!existsSync('/proc')) return []
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false
    return ['cmdline', 'environ'].some((file) => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(text)
      } catch {
        return false // The process has ended meanwhile.
      }
    })
  })
}
