import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { ask, say } from '../support/ask.ts'
import { administer, createDatabase, createEmptyDatabase } from '../support/postgres.ts'
import { type Running, startProcess } from '../support/process.ts'
import { SECRET, startEngine, token } from '../support/service.ts'

const SERVER = [process.execPath, 'src/bin/server.ts']

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
  t.match(service.output(), /"signal":"SIGTERM","msg":"received SIG[A-Z]+: ending"/)
})

test('a request that does not arrive ends with the drain, one that arrives late is served, exit 0', async (t) => {
  const environment = await productionEnvironment(t, { SHUTDOWN_TIMEOUT_SECONDS: '12' })
  const service = startProcess(t, SERVER, { environment })
  const url = await addressOf(service)
  await readiness(url, 'ok')
  const body = JSON.stringify({ message: 'Hello' })
  const authorization = `Bearer ${await token('alice')}`
  const begin = () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.setEncoding('utf8')
    return socket
  }
  const head = `POST /api/agent/chat HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  const [stalled, late, again] = [begin(), begin(), begin()]
  stalled.write(head + body.slice(0, 5))
  late.write(head + body.slice(0, 5))
  // The second request on a connection, of which not even the headers arrive.
  again.write('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n')
  await once(again, 'data')
  again.write('POST /api/agent/chat HTTP/1.1\r\n')

  service.signal('SIGTERM')
  await service.line(/"msg":"received SIG[A-Z]+: ending"/)
  late.write(body.slice(5))
  t.match((await late.toArray()).join(''), /^HTTP\/1\.1 202 .*connection: close/s)
  t.strictSame(await service.ended, { code: 0, signal: null })
  t.notMatch(service.output(), /not ended within/)
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

test('a run engine that is away keeps the service from being ready', async (t) => {
  const environment = await productionEnvironment(t, { TRIGGER_API_URL: 'http://127.0.0.1:9' })
  const service = startProcess(t, SERVER, { environment })
  const url = await addressOf(service)
  for (let looks = 0; looks < 3; looks++) {
    const { status, body } = await ask(url, '/readyz')
    t.match({ status, body }, { status: 503, body: { status: 'starting', components: { engine: 'down' } } })
    await sleep(1_100) // Looks are remembered for a second.
  }
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

test('a schema that is newer than this version stops the start, until the newer version takes it back', async (t) => {
  const environment = await productionEnvironment(t)
  const newer = `insert into kysely_migration (name, timestamp) values ('9999_of_tomorrow', '')`
  await administer(environment.DATABASE_URL, newer)
  const refused = startProcess(t, SERVER, { environment })
  t.equal((await refused.ended).code, 1)
  t.match(
    refused.output(),
    /has migrations that this version does not know \(9999_of_tomorrow\)\. Deploy the newer version\./,
  )
  await administer(environment.DATABASE_URL, `delete from kysely_migration where name = '9999_of_tomorrow'`)
  const service = startProcess(t, SERVER, { environment })
  t.equal((await readiness(await addressOf(service), 'ok')).status, 200)
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
