import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { EngineOptions } from '../../../src/local/engine/engine.ts'

/** As in `npm run engine`: a small nursery and one helper thread save 20 MB. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1']
const SCRIPT = fileURLToPath(new URL('./engine-process.ts', import.meta.url))

export interface EngineProcess {
  url: string
  secretKey: string
  pid: number
  /** The pids of the engine's children. */
  children(): Promise<number[]>
  kill(): Promise<void>
  stop(): Promise<void>
}

/** Starts an engine in a process of its own, without what tap adds to the environment. */
export async function openProcess(options: Omit<EngineOptions, 'log'>): Promise<EngineProcess> {
  const command = ['-u', 'NODE_OPTIONS', process.execPath, ...NODE_FLAGS, SCRIPT, JSON.stringify(options)]
  const child: ChildProcess = spawn('env', command, { stdio: ['pipe', 'pipe', 'inherit'] })
  const { stdin, stdout, pid } = child
  if (!stdin || !stdout || !pid) throw new Error('the engine process could not be started')
  const lines = createInterface({ input: stdout })
  const exited = once(child, 'exit')
  const report = async (): Promise<{ url: string; pids: number[] }> =>
    JSON.parse((await once(lines, 'line'))[0])
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    child.kill(signal)
    await exited
  }
  return {
    url: (await report()).url,
    secretKey: options.secretKey,
    pid,
    children: async () => {
      stdin.write('\n')
      return (await report()).pids
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  }
}
