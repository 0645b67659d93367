import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { administer, createDatabase } from '../support/postgres.ts'
import { createRole, DISCONNECT, nameOf, untilGone } from '../support/roles.ts'
import { type Service, startEngine, startService } from '../support/service.ts'

/** Serves both tests: its start is what takes long. */
const engine = startEngine(t)

t.test('when the role of the service may not log in any more', async (t) => {
  const { admin, role, url: databaseUrl, server } = await createRole(t)
  await administer(admin, `alter role ${role} superuser`)
  const { call, ended } = await startService(t, { databaseUrl, engine: await engine })
  const first = await call('POST', '/api/agent/chat', { body: { message: 'What is 1 + 1?' } })
  const { conversationId } = (await ended(first.body.runId)).body
  await administer(admin, `alter role ${role} nologin`)
  await administer(admin, DISCONNECT)
  await untilGone(server, nameOf(admin))
  const status = async (wanted: string) => {
    for (;;) {
      const { body } = await call('GET', '/readyz')
      if (body.status === wanted) return body
      await setTimeout(50)
    }
  }

  await t.test('a new conversation is started without it, and the rest is 503', async (t) => {
    const started = await call('POST', '/api/agent/chat', { body: { message: 'What is 2 + 2?' } })
    t.match(started, { status: 202, body: { runId: /^run_/ } })
    t.notOk('conversationId' in started.body)
    for (const answer of await Promise.all([
      call('POST', '/api/agent/chat', { body: { message: 'hi', conversationId } }),
      call('GET', `/api/agent/chat/${first.body.runId}`),
      call('GET', '/api/agent/conversations'),
    ]))
      t.match(answer, { status: 503, body: { code: 'database_unavailable', retryAfter: Number } })
    t.match(await status('degraded'), { components: { database: 'down' } })
  })

  await t.test('everything works again once it may', async (t) => {
    await administer(admin, `alter role ${role} login`)
    await status('ok')
    t.match(await call('GET', `/api/agent/chat/${first.body.runId}`), { status: 200 })
  })
})

t.test('a start whose statement takes too long is told so, and no run is begun in its place', async (t) => {
  const databaseUrl = await createDatabase(t)
  const { call, ended } = await startService(t, { databaseUrl, engine: await engine })
  const first = await call('POST', '/api/agent/chat', { body: { message: 'What is 1 + 1?' } })
  const { conversationId } = (await ended(first.body.runId)).body
  const before = await runsOf(await engine)
  const lock = new pg.Client({ connectionString: databaseUrl })
  await lock.connect()
  await lock.query('begin; lock table conversations in exclusive mode')
  const [known, fresh, read] = await Promise.all([
    call('POST', '/api/agent/chat', { body: { message: 'hi', conversationId } }),
    call('POST', '/api/agent/chat', { body: { message: 'hi' } }),
    call('GET', '/api/agent/conversations'),
  ])
  for (const answer of [known, fresh])
    t.match(answer, { status: 504, body: { code: 'query_timeout', retryable: true } })
  t.equal(read.status, 200, 'reads were not refused meanwhile')
  await lock.end()
  t.equal((await call('GET', '/readyz')).body.status, 'ok')
  t.same(await runsOf(await engine), before)
  t.equal((await call('GET', `/api/agent/conversations/${conversationId}/messages`)).body.data.length, 2)
})

/** The ids of the runs that the engine has. */
async function runsOf({ url, secretKey }: Service['engine']): Promise<string[]> {
  const response = await fetch(`${url}/api/v1/runs?page[size]=50`, {
    headers: { authorization: `Bearer ${secretKey}` },
  })
  const { data } = (await response.json()) as { data: Array<{ id: string }> }
  return data.map(({ id }) => id)
}
