import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A server of the benchmark in a process of its own. */
export interface Server {
  name: string
  url: string
  /** Microseconds of CPU, user and system, that the process has used so far. */
  cpu(): Promise<number>
  /** Bytes of memory that the process holds. */
  memory(): Promise<number>
  stop(): Promise<void>
}

/** The answer of a server process to its parent; see `serveParent`. */
interface Usage {
  cpu: number
  rss: number
}

/**
 * Starts a script that calls `serveParent`. The script's log goes to a file, since in production it goes to a pipe.
 * @param file path below `bench/`
 */
export async function startServer(
  name: string,
  file: string,
  env: Record<string, string>,
  logFile: string,
): Promise<Server> {
  const log = openSync(logFile, 'w')
  const script = fileURLToPath(new URL(`../${file}`, import.meta.url))
  const child = fork(script, { env: { ...process.env, ...env }, stdio: ['ignore', log, 'inherit', 'ipc'] })
  closeSync(log)
  const url = await answer<string>(child)
  const usage = (): Promise<Usage> => {
    child.send('usage')
    return answer<Usage>(child)
  }
  return {
    name,
    url,
    cpu: async () => (await usage()).cpu,
    memory: async () => (await usage()).rss,
    async stop() {
      if (child.exitCode !== null) return
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const done = new AbortController()
  const exited = once(child, 'exit', { signal: done.signal }).then(([code]) => {
    throw new Error(`${child.spawnargs[1]} ended with code ${code}`)
  })
  exited.catch(() => {})
  try {
    const [message] = (await Promise.race([once(child, 'message', { signal: done.signal }), exited])) as [T]
    return message
  } finally {
    done.abort()
  }
}

/** Tells the parent the address of this process and, whenever the parent asks, its CPU time and memory. */
export function serveParent(url: string): void {
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpu: user + system, rss: process.memoryUsage.rss() } satisfies Usage)
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.(url)
}
