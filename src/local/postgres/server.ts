import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { bareEnvironment } from './binaries.ts'
import { type Launch, superuser } from './cluster.ts'

/** A server that accepts connections. */
export type Server = { child: ChildProcess; port: number; ended(): boolean; stop(): Promise<void> }

// A killed server may have to read much of its log before it accepts connections again.
const startDeadline = 120_000

/** Starts the server of the cluster on 127.0.0.1 and waits until it answers. */
export async function startServer(launch: Launch, port: number): Promise<Server> {
  const { home, binaries } = launch
  const logFile = join(home.folder, 'postgres.log')
  const output = await open(logFile, 'w', 0o600)
  let child: ChildProcess
  try {
    child = spawn(binaries.postgres, serverArguments(launch, port), {
      ...home.account,
      cwd: '/',
      env: bareEnvironment,
      stdio: ['ignore', output.fd, output.fd],
      // The server has a process group of its own. Ctrl-C reaches the service alone, which needs its database to drain.
      detached: true,
    })
    await once(child, 'spawn')
  } finally {
    await output.close()
  }
  // A process that exits without stopping the server first, by an uncaught error, must not leave the server behind.
  const stopOnExit = () => child.kill('SIGINT')
  process.once('exit', stopOnExit)
  child.once('exit', () => process.off('exit', stopOnExit))

  try {
    await answers(child, databaseUrl(port, launch.password))
  } catch (error) {
    await endServer(child)
    const said = (await readFile(logFile, 'utf8')).trim().split('\n').slice(-8).join('\n')
    throw new Error(`The embedded database did not start. Its log, ${logFile}, ends with:\n${said}`, {
      cause: error,
    })
  }
  let stopping: Promise<void> | undefined
  return {
    child,
    port,
    ended: () => hasEnded(child),
    stop() {
      stopping ??= endServer(child)
      return stopping
    },
  }
}

export function databaseUrl(port: number, password: string): string {
  return `postgres://${superuser}:${password}@127.0.0.1:${port}/postgres`
}

/** A port on which no program listens at this moment. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (!address || typeof address === 'string') throw new Error('No free port on 127.0.0.1.')
  return address.port
}

function serverArguments({ home, ephemeral }: Launch, port: number): string[] {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 100,
    shared_buffers: '64MB',
    max_wal_size: '256MB',
    ...(ephemeral && {
      fsync: 'off',
      synchronous_commit: 'off',
      full_page_writes: 'off',
      wal_level: 'minimal',
      max_wal_senders: 0,
    }),
  }
  return [
    '-D',
    join(home.folder, 'postgres'),
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
}

async function answers(child: ChildProcess, url: string): Promise<void> {
  const deadline = Date.now() + startDeadline
  for (;;) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
    client.on('error', () => {}) // The server has closed the connection. The next attempt shows its state.
    try {
      await client.connect()
      return
    } catch (error) {
      if (!isStarting(error) || Date.now() > deadline) throw error
      if (hasEnded(child)) throw new Error('The server ended.')
    } finally {
      await client.end().catch(() => {}) // The client was never connected, or the server has closed the connection.
    }
    await sleep(20)
  }
}

/** Whether the server is still starting: it does not listen, it answers 57P03 (not ready), or it answers too late. */
function isStarting(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const isSlow = error instanceof Error && error.message === 'timeout expired'
  return isSlow || code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === '57P03'
}

/** Asks for a fast shutdown, then kills the server. Resolves when the process has ended. */
async function endServer(child: ChildProcess): Promise<void> {
  for (const [signal, patience] of [
    ['SIGINT', 10_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const) {
    if (hasEnded(child)) return
    const exit = once(child, 'exit', { signal: AbortSignal.timeout(patience) }).catch(() => {})
    child.kill(signal)
    await exit
  }
  if (!hasEnded(child)) throw new Error(`The embedded database (process ${child.pid}) does not stop.`)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
