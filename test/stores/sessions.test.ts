import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { schemaCheck } from '../../src/lifecycle/schema-check.ts'
import { openDatabase } from '../../src/stores/database.ts'
import { migrate } from '../../src/stores/migrations.ts'
import { administer, createDatabase, createEmptyDatabase } from '../support/postgres.ts'
import { DISCONNECT, nameOf } from '../support/roles.ts'
import { startService } from '../support/service.ts'

const log = { warn() {} }

/** Changes the defaults of the database that `url` names, for connections that are opened from now on. */
async function setDefaults(url: string, defaults: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(defaults))
    await administer(url, `alter database ${nameOf(url)} set ${name} = '${value}'`)
}

const FOREIGN_DEFAULTS = {
  datestyle: 'SQL, DMY',
  timezone: 'Asia/Kolkata',
  client_encoding: 'LATIN1',
  standard_conforming_strings: 'off',
  default_transaction_isolation: 'serializable',
  statement_timeout: '61s',
  lock_timeout: '62s',
  idle_in_transaction_session_timeout: '63s',
  idle_session_timeout: '64s',
}

t.test('a connection sets what it relies on, against any default of the database', async (t) => {
  const url = await createDatabase(t)
  await setDefaults(url, FOREIGN_DEFAULTS)
  const database = openDatabase({ url, poolMax: 2, log })
  t.teardown(() => database.close())
  const [row] = await database.named<Record<string, unknown>>(
    'settings',
    `select ${Object.keys(FOREIGN_DEFAULTS)
      .map((name) => `current_setting('${name}') as ${name}`)
      .join(', ')}`,
    [],
  )
  t.same(row, {
    datestyle: 'ISO, MDY',
    timezone: 'UTC',
    client_encoding: 'UTF8',
    standard_conforming_strings: 'on',
    default_transaction_isolation: 'read committed',
    statement_timeout: '4s',
    lock_timeout: '0',
    idle_in_transaction_session_timeout: '10s',
    idle_session_timeout: '0',
  })
  const at = new Date('2026-02-03T04:05:06.789Z')
  const { rows } = await database.run((db) =>
    sql<{ at: Date; text: string }>`select ${at}::timestamptz as at, 'Grüße ☂' as text`.execute(db),
  )
  t.same(rows, [{ at, text: 'Grüße ☂' }])
})

t.test('the whole service works on a database with foreign defaults', async (t) => {
  const databaseUrl = await createDatabase(t)
  await setDefaults(databaseUrl, FOREIGN_DEFAULTS)
  const { call } = await startService(t, { databaseUrl })
  const answer = await call('POST', '/api/agent/chat/sync', { body: { message: 'What is 1 + 1?' } })
  t.match(answer, { status: 200, body: { status: 'completed', text: '1 + 1 = 2.' } })
  for (const path of [
    '/api/agent/chat',
    '/api/agent/conversations',
    `/api/agent/conversations/${answer.body.conversationId}`,
    `/api/agent/conversations/${answer.body.conversationId}/messages`,
  ])
    t.equal((await call('GET', path)).status, 200, path)
})

for (const isolation of ['repeatable read', 'serializable']) {
  t.test(`50 writers of one row at once wait for one another when the default is ${isolation}`, async (t) => {
    const url = await createDatabase(t)
    await setDefaults(url, { default_transaction_isolation: isolation })
    const database = openDatabase({ url, poolMax: 10, log })
    t.teardown(() => database.close())
    const id = crypto.randomUUID()
    await database.run((db) =>
      sql`insert into conversations (id, user_id, title) values (${id}, 'alice', 'a title')`.execute(db),
    )
    const takePlace = () =>
      database.named<{ place: number }>(
        'take_place',
        // The pause lets every writer begin before the one in front of it has committed.
        `update conversations set next_position = next_position + 1
         where id = $1 and pg_sleep(0.02) is not null returning next_position as place`,
        [id],
      )
    const places = await Promise.all(Array.from({ length: 50 }, takePlace))
    t.equal(new Set(places.map(([row]) => row?.place)).size, 50)
  })
}

t.test('a database whose encoding cannot hold every text is refused with a sentence', async (t) => {
  const server = await createEmptyDatabase(t)
  const name = `${nameOf(server)}_latin`
  await administer(server, `create database ${name} encoding 'LATIN1' locale 'C' template template0`)
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).href
  t.teardown(() => administer(server, `drop database ${name} with (force)`))
  const sentence = /encoding of the database is LATIN1.*encoding 'UTF8'/
  await t.rejects(schemaCheck(url, log).check(), { name: 'StartError', message: sentence })
  await t.rejects(migrate(url), { message: sentence })
})

t.test('after a switch to read-only and back', async (t) => {
  const url = await createDatabase(t)
  const database = openDatabase({ url, poolMax: 4, log })
  t.teardown(() => database.close())
  const all = <T>(work: () => Promise<T>) => Promise.all(Array.from({ length: 4 }, work))
  const write = () =>
    database.run((db) =>
      sql`insert into conversations (id, user_id, title) values (${crypto.randomUUID()}, 'alice', 'a title')`.execute(
        db,
      ),
    )

  await t.test('connections that are still read-only are replaced, and no write is lost', async (t) => {
    await all(() => database.run((db) => sql`select pg_sleep(0.1)`.execute(db)))
    t.ok(database.pool().total > 1)
    await all(() => database.run((db) => sql`set default_transaction_read_only = on`.execute(db)))
    await t.resolves(all(write))
  })

  await t.test('a read-only database is away, for reads too, until it takes writes', async (t) => {
    await setDefaults(url, { default_transaction_read_only: 'on' })
    await administer(url, DISCONNECT)
    await t.rejects(write(), { code: 'database_unavailable' })
    await t.rejects(
      database.run((db) => sql`select 1`.execute(db)),
      { code: 'database_unavailable' },
    )
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    await admin.query('set default_transaction_read_only = off')
    await admin.query(`alter database ${nameOf(url)} reset default_transaction_read_only`)
    await admin.end()
    while (!(await write().catch(() => undefined))) await new Promise((resolve) => setTimeout(resolve, 20))
    await t.resolves(all(write))
  })
})
