import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Running, startProcess } from './process.ts'
import type { Teardown } from './service.ts'

const PROGRAM = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'].find((path) =>
  existsSync(path),
)

/** For `t.test(name, { skip: WITHOUT_PGBOUNCER }, …)`: false when the program is installed. */
export const WITHOUT_PGBOUNCER: string | false =
  PROGRAM === undefined
    ? 'The program pgbouncer is not installed (Debian: apt-get install pgbouncer).'
    : false

export interface PgBouncer {
  /** The address of the database through this pooler. */
  url: string
  process: Running
}

export interface PgBouncerOptions {
  mode: 'session' | 'transaction' | 'statement'
  /** Connections to the server for each pair of database and user. */
  poolSize?: number
}

/**
 * Starts a PgBouncer as Debian configures it (no `ignore_startup_parameters`) in front of the server of `target`.
 * The teardown ends it.
 */
export async function startPgBouncer(
  t: Teardown,
  target: string,
  { mode, poolSize = 5 }: PgBouncerOptions,
): Promise<PgBouncer> {
  if (PROGRAM === undefined) throw new Error(String(WITHOUT_PGBOUNCER))
  const { hostname, port, username, password } = new URL(target)
  const folder = await mkdtemp(join(tmpdir(), 'agent-chat-pgbouncer-'))
  await chmod(folder, 0o755)
  const own = await freePort()
  const settings = `[databases]
* = host=${hostname} port=${port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder, 'users.txt')}
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 500
server_login_retry = 1
`
  await writeFile(join(folder, 'users.txt'), `"${username}" "${decodeURIComponent(password)}"\n`)
  await writeFile(join(folder, 'pgbouncer.ini'), settings)
  // PgBouncer refuses to run as root.
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const running = startProcess(t, [PROGRAM, ...user, join(folder, 'pgbouncer.ini')])
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await running.line(/process up/)
  const url = new URL(target)
  url.host = `127.0.0.1:${own}`
  return { url: url.href, process: running }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return address.port
}
