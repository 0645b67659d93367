import { once } from 'node:events'
import { chown, mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { test } from 'tap'
import { startPostgres } from '../../src/local/postgres.ts'
import { ask, say } from '../support/ask.ts'
import { administer } from '../support/postgres.ts'
import { processesWith, type Running, startProcess } from '../support/process.ts'
import { SECRET } from '../support/service.ts'
import { temporaryFolder } from '../support/temporary.ts'

const SERVER = [process.execPath, 'src/bin/server.ts']
/** The id of a user who exists on every system and owns nothing. */
const NOBODY = 65_534
const STACK = /\bat .*[:/]\S+:\d+:\d+/

/** Creating a database takes seconds: these tests use one folder, one after the other. */
const folder = await temporaryFolder(t)

test('npm start needs no setting: its embedded parts start with it and end with Ctrl-C', async (t) => {
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
      // A terminal signals the whole process group, and npm passes the signal on once more.
      first.signal('SIGINT', 'group')
      t.equal((await first.ended).code, 0)
      t.match(first.output(), /"signal":"SIGINT","msg":"received SIG[A-Z]+: ending"/)
      t.strictSame(processesWith(data), [], 'no process is left')

      const second = start()
      await origin(second)
      second.signal('SIGKILL', 'group')
      await second.ended
      const third = start()
      const again = await origin(third)
      t.equal(
        (await ask(again, `/api/agent/conversations/${body.conversationId}`)).status,
        200,
        'the data survives a kill',
      )
      third.signal('SIGTERM', 'group')
      t.equal((await third.ended).code, 0)
      t.strictSame(processesWith(data), [], 'no process of the killed instance is left either')
    })
  }
})

test('a second signal ends the service and its embedded parts at once', async (t) => {
  const data = join(folder, 'own')
  const service = startProcess(t, SERVER, {
    environment: { PORT: '0', LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET, SHUTDOWN_DELAY_SECONDS: '20' },
  })
  await service.line(/agent-chat-service/)
  service.signal('SIGTERM')
  await service.line(/"msg":"received SIG[A-Z]+: ending"/)
  await sleep(400) // Sooner, a second signal counts as the echo of the first.
  service.signal('SIGTERM')
  t.strictSame(await service.ended, { code: 1, signal: null })
  t.match(service.output(), /received SIGTERM again: exiting without draining/)
  while (processesWith(data).length > 0) await sleep(20)
  t.pass('Postgres and the children have ended too')
})

test('the start-up lines name the model, and the request that they propose works as pasted', async (t) => {
  const data = join(folder, 'own')
  const model = { AGENT_MODEL: 'anthropic:claude', AGENT_ANTHROPIC_BASE_URL: 'http://127.0.0.1:1' }
  const service = startProcess(t, SERVER, { environment: { PORT: '0', LOCAL_DATA_DIR: data, ...model } })
  await service.line(/"message":/)
  t.match(service.output(), 'anthropic:claude at http://127.0.0.1:1')
  const [, proposed = ''] = /Say something:\n(.*?)\n\s*\n/s.exec(`${service.output()}\n\n`) ?? []
  const pasted = startProcess(t, ['sh', '-c', proposed])
  await pasted.ended
  t.match(pasted.output(), /"runId":"run_/)
  service.signal('SIGTERM')
  t.equal((await service.ended).code, 0)
})

test('a second service on the same data folder stops with a sentence, and the first goes on', async (t) => {
  const data = join(folder, 'own')
  const environment = { PORT: '0', LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET }
  const first = startProcess(t, SERVER, { environment })
  const [, url = ''] = await first.line(/agent-chat-service {2}(\S+)/)
  const second = startProcess(t, SERVER, { environment })
  t.equal((await second.ended).code, 1)
  t.match(
    second.output(),
    new RegExp(`${data} is in use by another instance of this service \\(process ${first.child.pid}\\)`),
  )
  t.notMatch(second.output(), STACK)
  t.equal((await ask(url, '/livez')).status, 200)
  first.signal('SIGTERM')
  t.equal((await first.ended).code, 0)
})

test('a taken port stops the start with a sentence, and the parts that had started are stopped', async (t) => {
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
  t.notMatch(service.output(), STACK)
  t.strictSame(processesWith(data), [])
})

test('a data folder that is deleted ends the service with a sentence, and no request is a fault meanwhile', async (t) => {
  const data = join(folder, 'deleted')
  const service = startProcess(t, SERVER, {
    environment: { PORT: '0', LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET },
  })
  const [, url = ''] = await service.line(/agent-chat-service {2}(\S+)/)
  const { body } = await say(url, 'What is 17 * 23?')
  await rm(data, { recursive: true, force: true, maxRetries: 3 })
  const statuses = new Set<number>()
  let isOver = false
  service.ended.then(() => {
    isOver = true
  })
  while (!isOver) {
    // A process that has ended refuses connections.
    const poll = await ask(url, `/api/agent/chat/${body.runId}`).catch(() => undefined)
    if (poll !== undefined) statuses.add(poll.status)
  }
  t.equal((await service.ended).code, 1)
  const [end] = await service.line(/.*"level":60.*/)
  t.match(end, /The database in \S+ has been deleted while the service was running\./)
  t.notMatch(end, STACK)
  t.notOk(statuses.has(500), `polls were answered with ${[...statuses]}`)
  t.strictSame(processesWith(data), [], 'what had started is stopped')
})

// This test is the last one, because the folder is of no use to this version afterwards.
test('a data folder that a newer version has used stops the start with a sentence', async (t) => {
  const data = join(folder, 'own')
  const postgres = await startPostgres({ dataDir: data, log: { info() {}, warn() {}, error() {} } })
  t.teardown(() => postgres.stop())
  const migrations = `kysely_migration (name, timestamp) values ('9999_newer', '2099-01-01T00:00:00.000Z')`
  await administer(postgres.url, `insert into ${migrations}`)
  await postgres.stop()
  const service = startProcess(t, SERVER, {
    environment: { PORT: '0', LOCAL_DATA_DIR: data, AUTH_JWT_SECRET: SECRET },
  })
  t.equal((await service.ended).code, 1)
  t.match(
    service.output(),
    /The database has migrations that this version does not know \(9999_newer\)\. Deploy/,
  )
  t.notMatch(service.output(), STACK)
  t.strictSame(processesWith(data), [], 'the parts that had started are stopped')
})
