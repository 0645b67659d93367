import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import { COMPILE_CACHE } from '../../src/local/engine/compile-cache.ts'
import { type FileTally, fileReader } from './tally.ts'

/**
 * Runs one test file in a process of its own, without loaders: Node strips the types itself. When the file has ended,
 * by itself or by `signal`, all processes of its process group are killed.
 *
 * @param timeoutMs time after which the file is stopped
 */
export async function runFile(
  file: string,
  { env, timeoutMs, signal }: { env: NodeJS.ProcessEnv; timeoutMs: number; signal: AbortSignal },
): Promise<FileTally> {
  const startedAt = performance.now()
  const reader = fileReader(file)
  const child = spawn(process.execPath, [file], {
    // The runner watches the time, so tap must not. All files load nearly the same modules, which the cache serves.
    env: { ...env, TAP_TIMEOUT: '0', NODE_COMPILE_CACHE: COMPILE_CACHE },
    stdio: ['ignore', 'pipe', 'inherit'],
    // The file has its own process group, so that the runner can stop all its processes.
    detached: true,
  })
  child.stdout.pipe(reader.parser)
  const read = finished(reader.parser, { writable: true, readable: false })

  let isLate = false
  const stop = () => {
    endGroup(child.pid, 'SIGTERM')
    setTimeout(() => endGroup(child.pid, 'SIGKILL'), 5_000).unref()
  }
  const timer = setTimeout(() => {
    isLate = true
    stop()
  }, timeoutMs)
  signal.addEventListener('abort', stop, { once: true })

  const [exitCode, exitSignal] = await once(child, 'exit')
  clearTimeout(timer)
  signal.removeEventListener('abort', stop)
  endGroup(child.pid, 'SIGKILL') // Ends processes that tests have left running, which may hold the pipe open.
  await read
  return reader.tally({ exitCode, exitSignal, isLate, milliseconds: performance.now() - startedAt })
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // ESRCH: the group has no process any more.
  }
}
