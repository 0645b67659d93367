import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t, { test } from 'tap'
import { startPostgres } from '../../src/local/postgres.ts'
import { temporaryFolder } from '../support/temporary.ts'

// One folder for most tests, one after the other: creating a database is the slow part.
const shared = await temporaryFolder(t)
const module = JSON.stringify(import.meta.resolve('../../src/local/postgres.ts'))

/** Collects what the database says about itself. */
function memory() {
  const lines: string[] = []
  const add = (line: string) => void lines.push(line)
  return { lines, info: add, warn: add, error: add }
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** A process that owns a database until it is ended; resolves with the database's address. */
async function owner(dataDir: string): Promise<{ child: ChildProcess; url: string }> {
  const program = `
    import { startPostgres } from ${module}
    const server = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: { info() {}, warn() {}, error() {} } })
    console.log(server.url)
    setInterval(() => {}, 60_000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [url] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit'),
  ])
  if (typeof url !== 'string') throw new Error('The process has no database.')
  return { child, url }
}

async function serverPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10)
}

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    }
  }
}

test('of several first starts at the same moment one wins, and cleans up after a creation that was cut off', async (t) => {
  const dataDir = join(await temporaryFolder(t), 'not', 'yet there')
  await mkdir(join(dataDir, 'postgres.0123456789ab', 'base'), { recursive: true })
  await writeFile(join(dataDir, 'postgres.0123456789ab', 'PG_VERSION'), '18\n')
  await writeFile(join(dataDir, 'postgres.0123456789ab.password'), 'secret')

  const starts = await Promise.allSettled(
    [1, 2, 3].map(() => startPostgres({ dataDir, log: memory(), ephemeral: true })),
  )
  const winners = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
  for (const winner of winners) t.teardown(() => winner.stop())
  t.equal(winners.length, 1)
  for (const start of starts) if (start.status === 'rejected') t.match(start.reason.message, /is in use/)
  for (const winner of winners) t.strictSame(await query(winner.url, 'select 1 as one'), [{ one: 1 }])
  t.strictSame(
    (await readdir(dataDir)).filter((name) => name.includes('0123456789ab')),
    [],
  )

  await Promise.all(winners.map((winner) => winner.stop()))
  t.notOk((await readdir(dataDir)).includes('postgres'), 'an ephemeral database is gone when it is stopped')
})

test('the data are still there after a stop and a start', async (t) => {
  const log = memory()
  const first = await startPostgres({ dataDir: shared, log })
  t.teardown(() => first.stop())
  await query(first.url, `create table kept as select 'Ünïcode' as word`)
  await first.stop()
  await first.stop()
  await t.rejects(query(first.url, 'select 1'), { code: 'ECONNREFUSED' }, 'stop() has waited')

  const second = await startPostgres({ dataDir: shared, log })
  t.teardown(() => second.stop())
  t.strictSame(await query(second.url, 'select lower(word) as word from kept'), [{ word: 'ünïcode' }])
  t.match(log.lines, [/^Creating a database/])
})

test('the database admits no one without the password, on loopback alone, and other users cannot read its files', async (t) => {
  const server = await startPostgres({ dataDir: shared, log: memory() })
  t.teardown(() => server.stop())

  const url = new URL(server.url)
  t.equal(url.hostname, '127.0.0.1')
  for (const password of ['', 'wrong']) {
    url.password = password
    await t.rejects(query(url.href, 'select 1'), /password/)
  }
  const [settings] = await query(
    server.url,
    `select current_setting('listen_addresses') as listen, current_setting('unix_socket_directories') as sockets,
       (select json_agg(distinct auth_method) from pg_hba_file_rules) as methods`,
  )
  t.strictSame(settings, { listen: '127.0.0.1', sockets: '', methods: ['scram-sha-256'] })
  t.equal((await stat(join(shared, 'postgres'))).mode & 0o777, 0o700)
  t.equal((await stat(join(shared, 'postgres-password'))).mode & 0o777, 0o600)
})

test('a second service on the same folder is told who is there, and the first goes on', async (t) => {
  const server = await startPostgres({ dataDir: shared, log: memory() })
  t.teardown(() => server.stop())
  const refusal = { message: new RegExp(`${shared} is in use .*process ${process.pid}.*LOCAL_DATA_DIR`) }
  await t.rejects(startPostgres({ dataDir: shared, log: memory() }), refusal)
  await t.rejects(owner(shared), /has no database/, 'from another process, too')
  t.strictSame(await query(server.url, 'select 1 as one'), [{ one: 1 }])
})

test('after the owner was killed the next start ends the server it left behind and finds the data', async (t) => {
  const { child, url } = await owner(shared)
  await query(url, 'create table from_killed as select 1 as one')
  const orphan = await serverPid(shared)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.strictSame(await query(url, 'select one from from_killed'), [{ one: 1 }], 'the server outlives its owner')

  const log = memory()
  const server = await startPostgres({ dataDir: shared, log })
  t.teardown(() => server.stop())
  t.match(log.lines, [new RegExp(`process ${orphan}.* left running`)])
  t.not(await serverPid(shared), orphan)
  t.strictSame(await query(server.url, 'select one from from_killed'), [{ one: 1 }])
})

test('a pid file that names another program neither stops the start nor harms that program', async (t) => {
  const first = await startPostgres({ dataDir: shared, log: memory() })
  const file = join(shared, 'postgres', 'postmaster.pid')
  const content = await readFile(file, 'utf8')
  await first.stop()
  await writeFile(file, content.replace(/^\d+/, String(process.pid)))

  const server = await startPostgres({ dataDir: shared, log: memory() })
  t.teardown(() => server.stop())
  t.strictSame(await query(server.url, 'select 1 as one'), [{ one: 1 }])
})

test('a server that was killed is started again at the same address, with its data', async (t) => {
  const log = memory()
  const server = await startPostgres({ dataDir: shared, log })
  t.teardown(() => server.stop())
  await query(server.url, 'create table from_dead as select 1 as one')
  const client = new pg.Client(server.url)
  client.on('error', () => {}) // Its server is killed.
  await client.connect()
  const cut = new Promise<void>((resolve) => client.once('end', resolve))
  process.kill(await serverPid(shared), 'SIGKILL')
  await cut

  t.strictSame(await eventually(() => query(server.url, 'select one from from_dead')), [{ one: 1 }])
  t.match(log.lines, [/ended unexpectedly/])
  await server.stop()
  await t.rejects(query(server.url, 'select 1'), { code: 'ECONNREFUSED' })
})

test('a data folder of another version of Postgres is refused, with what was tried', async (t) => {
  const dataDir = await temporaryFolder(t)
  await mkdir(join(dataDir, 'postgres'))
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '9\n')
  await t.rejects(startPostgres({ dataDir, log: memory() }), {
    message: /DATABASE_URL[\s\S]*embedded package: is version 18, the data folder was written by 9/,
  })
})

const asRoot = process.getuid?.() === 0 ? {} : { skip: 'only root hands the server to another user' }

test('root below a folder that others may not enter keeps the database in /var/tmp', asRoot, async (t) => {
  const closed = await temporaryFolder(t)
  await chmod(closed, 0o700)
  const log = memory()
  const dataDir = join(closed, 'data')
  const server = await startPostgres({ dataDir, log, ephemeral: true })
  t.teardown(() => server.stop())

  const [{ folder }] = (await query(server.url, `select current_setting('data_directory') as folder`)) as [
    { folder: string },
  ]
  const home = dirname(folder)
  t.match(home, /^\/var\/tmp\/agent-chat-service-[\w-]{43}$/)
  t.equal((await stat(home)).uid, 0, 'other users cannot put something in its place')
  t.equal((await stat(home)).mode & 0o777, 0o711)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  await t.rejects(startPostgres({ dataDir, log }), /is in use/)

  await server.stop()
  await t.rejects(stat(home), { code: 'ENOENT' })
})
