import { once } from 'node:events'
import { chown, mkdir } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test, test } from 'tap'
import { createDatabase, createEmptyDatabase } from './support/postgres.ts'
import { processesWith, type Running, startProcess } from './support/process.ts'
import { SECRET, startEngine, token } from './support/service.ts'
import { temporaryFolder } from './support/temporary.ts'

const SERVER = [process.execPath, 'src/server.ts']
/** A user of every system that owns nothing. */
const NOBODY = 65_534

/** Creating a database takes seconds: the tests of embedded parts use one folder, one after the other. */
const folder = await temporaryFolder(t)

/** What a complete production environment is made of, apart from the tests of its absence. */
async function productionEnvironment(t: Test, own: Record<string, string> = {}) {
  const engine = await startEngine(t)
  return {
    NODE_ENV: 'production',
    PORT: '0',
    DATABASE_URL: own.DATABASE_URL ?? (await createDatabase(t)),
    TRIGGER_SECRET_KEY: engine.secretKey,
    TRIGGER_API_URL: engine.url,
    AUTH_JWT_SECRET: SECRET,
    SHUTDOWN_DELAY_SECONDS: '0',
    ...own,
  }
}

/** The address in the line "ready" of a production start. */
const addressOf = async (service: Running) =>
  (await service.line(/"address":"([^"]+)","msg":"ready"/))[1] ?? ''

async function ask(url: string, path: string, init: RequestInit = {}) {
  const response = await fetch(url + path, {
    ...init,
    headers: { authorization: `Bearer ${await token('alice')}`, ...init.headers },
  })
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
}

const say = (url: string, message: string) =>
  ask(url, '/api/agent/chat', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message }),
  })

/** Asks until readiness is as wanted. */
async function readiness(
  url: string,
  wanted: string,
): Promise<{ status: number; body: { components: object } }> {
  for (;;) {
    const answer = await ask(url, '/readyz')
    if (answer.body.status === wanted) return answer
    await sleep(50)
  }
}

test('SIGTERM: readiness says no first, a wait answers as the run is, what is in flight finishes, exit 0', async (t) => {
  const environment = await productionEnvironment(t, { SHUTDOWN_DELAY_SECONDS: '1' })
  const service = startProcess(t, SERVER, { environment })
  const url = await addressOf(service)
  t.match(await readiness(url, 'ok'), {
    status: 200,
    body: { components: { database: 'ok', engine: 'ok', migrations: 'ok' } },
  })
  const started = await say(url, 'Tell me a long story.')
  t.equal(started.status, 202)
  const wait = ask(url, `/api/agent/chat/${started.body.runId}?wait=30`)

  service.signal('SIGTERM')
  t.equal((await readiness(url, 'draining')).status, 503)
  t.equal((await say(url, 'One more.')).status, 202, 'until traffic has gone elsewhere it is served')
  const waited = await wait
  t.equal(waited.status, 200)
  t.match(waited.body, { runId: started.body.runId })
  t.strictSame(await service.ended, { code: 0, signal: null })
  t.match(service.output(), /"signal":"SIGTERM","msg":"ending"/)
})

test('the default needs nothing: embedded parts come with npm start and go with Ctrl-C', async (t) => {
  const users = process.getuid?.() === 0 ? [undefined, NOBODY] : [undefined]
  for (const uid of users) {
    await t.test(uid === undefined ? 'as this user' : 'as a user without rights', async (t) => {
      const data = join(folder, String(uid ?? 'own'))
      await mkdir(data)
      if (uid !== undefined) await chown(data, uid, uid)
      const environment = { PORT: '0', LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET, npm_config_cache: data }
      const start = () =>
        startProcess(t, ['npm', '--no-update-notifier', 'start'], {
          environment,
          ...(uid === undefined ? {} : { uid }),
        })
      const origin = async (service: Running) => (await service.line(/agent-chat-service {2}(\S+)/))[1] ?? ''

      const first = start()
      const url = await origin(first)
      const { status, body } = await say(url, 'What is 17 * 23?')
      t.equal(status, 202, JSON.stringify(body))
      const poll = await ask(url, `/api/agent/chat/${body.runId}?wait=30`)
      t.match(poll.body, { conversationId: body.conversationId })
      // What a terminal does: everybody in the group hears it, and npm passes it on once more.
      first.signal('SIGINT', 'group')
      t.equal((await first.ended).code, 0)
      t.match(first.output(), /"signal":"SIGINT","msg":"ending"/)
      t.strictSame(processesWith(data), [], 'nothing is left')

      const second = start()
      await origin(second)
      second.signal('SIGKILL', 'group')
      await second.ended
      const third = start()
      const again = await origin(third)
      t.equal(
        (await ask(again, `/api/agent/conversations/${body.conversationId}`)).status,
        200,
        'data outlives a kill',
      )
      third.signal('SIGTERM', 'group')
      t.equal((await third.ended).code, 0)
      t.strictSame(processesWith(data), [], 'not even what the killed one had left')
    })
  }
})

test('a second signal ends at once, and takes embedded parts along', async (t) => {
  const data = join(folder, 'own')
  const service = startProcess(t, SERVER, {
    environment: { PORT: '0', LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET, SHUTDOWN_DELAY_SECONDS: '20' },
  })
  await service.line(/agent-chat-service/)
  service.signal('SIGTERM')
  await service.line(/"msg":"ending"/)
  await sleep(400) // Sooner, a second signal counts as the echo of the first.
  service.signal('SIGTERM')
  t.strictSame(await service.ended, { code: 1, signal: null })
  t.match(service.output(), /told twice/)
  while (processesWith(data).length > 0) await sleep(20)
  t.pass('Postgres and the children went too')
})

test('a drain that takes too long is ended by the timeout, with exit 1 and a line that says so', async (t) => {
  const environment = await productionEnvironment(t, { SHUTDOWN_TIMEOUT_SECONDS: '1' })
  const service = startProcess(t, SERVER, { environment })
  const url = await addressOf(service)
  const { port } = new URL(url)
  // A request that never gets its body across stays in flight.
  const half = connect(Number(port), '127.0.0.1')
  t.teardown(() => half.destroy())
  half.on('error', () => {})
  half.write(
    `POST /api/agent/chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${await token('alice')}\r\n` +
      'content-type: application/json\r\ncontent-length: 100\r\n\r\n{',
  )
  await ask(url, '/livez')
  service.signal('SIGTERM')
  t.equal((await service.ended).code, 1)
  t.match(service.output(), /not ended in time/)
})

test('a port that is taken is a sentence, and what had started is stopped', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? String(address.port) : ''
  const data = join(folder, 'own')
  const service = startProcess(t, SERVER, {
    environment: { PORT: port, LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET },
  })
  t.equal((await service.ended).code, 1)
  t.match(
    service.output(),
    new RegExp(`Cannot listen: port ${port} on 127\\.0\\.0\\.1 is taken by another process\\. Set PORT`),
  )
  t.notMatch(service.output(), /at .*\(node:/, 'no stack')
  t.strictSame(processesWith(data), [])
})

test('in production every missing and bad variable is named at once, without its value', async (t) => {
  const service = startProcess(t, SERVER, {
    environment: {
      NODE_ENV: 'production',
      PORT: 'eighty',
      REDIS_URL: 'http://secret-host',
      LOG_LEVEL: 'loud',
    },
  })
  t.equal((await service.ended).code, 1)
  const output = service.output()
  for (const name of [
    'DATABASE_URL',
    'TRIGGER_SECRET_KEY',
    'AUTH_JWT_SECRET',
    'PORT',
    'REDIS_URL',
    'LOG_LEVEL',
  ]) {
    t.match(output, new RegExp(`^  .*${name}`, 'm'), name)
  }
  t.notMatch(output, /eighty|secret-host|loud/)
})

test('a database that is away makes the start wait, readiness says so, and it gets ready by itself', async (t) => {
  const database = new URL(await createDatabase(t))
  const gate = await gateTo(t, Number(database.port))
  database.port = String(gate.port)
  const environment = await productionEnvironment(t, { DATABASE_URL: database.href })
  const service = startProcess(t, SERVER, { environment })
  const url = await addressOf(service)
  const starting = await readiness(url, 'starting')
  t.match(starting, { status: 503, body: { components: { database: 'down', migrations: 'down' } } })
  gate.open()
  t.equal((await readiness(url, 'ok')).status, 200)
  service.signal('SIGTERM')
  t.equal((await service.ended).code, 0)
})

test('a schema of another version stops the start, also when the database comes later', async (t) => {
  const database = new URL(await createEmptyDatabase(t))
  const behind = /The database lacks migrations \(0001_\w+(, \w+)*\)\. Run: npm run migrate/
  const environment = await productionEnvironment(t, { DATABASE_URL: database.href })
  const atOnce = startProcess(t, SERVER, { environment })
  t.equal((await atOnce.ended).code, 1)
  t.match(atOnce.output(), behind)

  const gate = await gateTo(t, Number(database.port))
  database.port = String(gate.port)
  const later = startProcess(t, SERVER, { environment: { ...environment, DATABASE_URL: database.href } })
  await readiness(await addressOf(later), 'starting')
  gate.open()
  t.equal((await later.ended).code, 1)
  t.match(later.output(), behind)
})

/** A port that breaks every connection until it is opened; then it leads to the other port. */
async function gateTo(t: Test, target: number) {
  let isOpen = false
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (!isOpen) return socket.destroy()
    const through = connect(target, '127.0.0.1')
    through.on('error', () => socket.destroy())
    socket.on('close', () => through.destroy())
    through.on('close', () => socket.destroy())
    socket.pipe(through).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    open: () => {
      isOpen = true
    },
  }
}
