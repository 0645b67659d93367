import pg from 'pg'
import { type Test, test } from 'tap'
import { CLAIM_SECONDS } from '../../src/stores/deliveries.ts'
import { query, until } from '../services/rows.ts'
import { ask } from '../support/ask.ts'
import { createDatabase } from '../support/postgres.ts'
import { startProcess } from '../support/process.ts'
import { secretOf, startReceiver, verified, webhookSettings } from '../support/receiver.ts'
import { SECRET, startEngine, startService } from '../support/service.ts'

/** An instance as a process of its own, to be killed. */
async function killable(t: Test, environment: Record<string, string>) {
  const running = startProcess(t, [process.execPath, 'src/bin/server.ts'], {
    environment: {
      ...{ NODE_ENV: 'production', PORT: '0', AUTH_JWT_SECRET: SECRET, TRIGGER_CALLS_PER_MINUTE: '0' },
      ...environment,
    },
  })
  await running.line(/"msg":"ready"/)
  return running
}

test('kill -9 of the instance that sends: another instance sends again, under the same id', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const receiver = await startReceiver(t)
  const environment = webhookSettings([{ name: 'shop', url: receiver.url }])
  const settings = {
    DATABASE_URL: databaseUrl,
    TRIGGER_SECRET_KEY: engine.secretKey,
    TRIGGER_API_URL: engine.url,
  }
  // The instance that is to live sends nothing at first: it knows no endpoint.
  const caller = await startService(t, { engine, databaseUrl })
  const dying = await killable(t, { ...environment, ...settings })
  await until(async () => (await query(caller, 'select from webhook_receivers')).length === 1)

  receiver.answer(() => dying.signal('SIGKILL')) // It never answers.
  const { body } = await caller.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  await dying.ended
  t.match(await query(caller, 'select status, attempts from webhook_deliveries'), [
    { status: 'pending', attempts: 1 },
  ])
  receiver.answer((_request, response) => void response.writeHead(204).end())
  // The claim of the dead instance ends by itself; this test does not wait for that.
  await query(
    caller,
    `update webhook_deliveries set due_at = due_at - ${CLAIM_SECONDS} * interval '1 second'`,
  )
  await startService(t, { engine, databaseUrl, environment })
  const received = await receiver.until(({ length }) => length === 2)
  t.equal(received[0]?.headers['webhook-id'], received[1]?.headers['webhook-id'])
  t.equal(received[1]?.body.data.runId, body.runId)
})

test('kill -9 between the end of a run and its delivery: the delivery is there, and another instance sends it', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const receiver = await startReceiver(t)
  const environment = webhookSettings([{ name: 'shop', url: receiver.url }])
  const settings = {
    DATABASE_URL: databaseUrl,
    TRIGGER_SECRET_KEY: engine.secretKey,
    TRIGGER_API_URL: engine.url,
  }
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  const rows = async (statement: string) => (await client.query(statement)).rows

  // This one ends the run and cannot send, because it has no secret of the endpoint.
  const ending = await killable(t, settings)
  const sending = await killable(t, { ...environment, ...settings })
  await until(async () => (await rows('select from webhook_receivers')).length === 1)
  sending.signal('SIGKILL')
  const [, url = ''] = await ending.line(/"address":"([^"]+)","msg":"ready"/)
  const { body } = await ask(url, '/api/agent/chat/sync', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'hi' }),
  })
  ending.signal('SIGKILL')
  await Promise.all([sending.ended, ending.ended])
  t.match(await rows('select run_id, status, attempts from webhook_deliveries'), [
    { run_id: body.runId, status: 'pending', attempts: 0 },
  ])
  t.strictSame(receiver.received, [])

  await startService(t, { engine, databaseUrl, environment })
  const [sent] = await receiver.until(({ length }) => length === 1)
  t.equal(sent?.body.data.runId, body.runId)
})

test('two instances send every delivery once, and a slow receiver does not make a fast one wait', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const [fast, slow] = [await startReceiver(t), await startReceiver(t)]
  const held: Array<() => void> = []
  slow.answer((_request, response) => void held.push(() => response.writeHead(204).end()))
  const environment = webhookSettings([
    { name: 'fast', url: fast.url },
    { name: 'slow', url: slow.url },
  ])
  const a = await startService(t, { engine, databaseUrl, environment })
  const b = await startService(t, { engine, databaseUrl, environment })
  const COUNT = 60
  // The rows of runs that end, without the work of an engine.
  const id = (kind: string) => `('00000000-0000-7000-${kind}-' || lpad(n::text, 12, '0'))::uuid`
  await query(
    a,
    `insert into turns (id, user_id, state, run_id)
       select ${id('8000')}, 'alice', 'started', 'run_' || n from generate_series(1, ${COUNT}) n;
     insert into runs (id, turn_id, run_id, user_id, status, deadline_at)
       select ${id('9000')}, ${id('8000')}, 'run_' || n, 'alice', 'running', now() + interval '1 hour'
       from generate_series(1, ${COUNT}) n`,
  )
  await query(
    a,
    `select finalize_run('run_' || n, 'completed', null, '', null, null, null, 0, false, null, null, false)
     from generate_series(1, ${COUNT}) n`,
  )
  const received = await fast.until(({ length }) => length >= COUNT)
  t.equal(
    new Set(received.map(({ body }) => body.data.runId)).size,
    COUNT,
    'all have reached the fast receiver',
  )
  t.ok(slow.received.length <= 16, 'while the slow one holds eight of each instance')
  for (const one of received) verified(one, secretOf('fast'))

  slow.answer((_request, response) => void response.writeHead(204).end())
  for (const answer of held) answer()
  await slow.until(({ length }) => length >= COUNT)
  await until(
    async () => (await query(b, `select from webhook_deliveries where status = 'pending'`)).length === 0,
  )
  t.equal(fast.received.length, COUNT)
  t.equal(slow.received.length, COUNT, 'none was sent twice')
})
