import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { openDatabase } from '../../src/stores/database.ts'
import { migrate, schemaState } from '../../src/stores/migrations.ts'
import { startPgBouncer, WITHOUT_PGBOUNCER } from '../support/pgbouncer.ts'
import { administer, createDatabase, createEmptyDatabase } from '../support/postgres.ts'
import { DISCONNECT, nameOf } from '../support/roles.ts'

const skip = WITHOUT_PGBOUNCER
const log = { warn() {} }

t.test('through PgBouncer in transaction mode', { skip }, async (t) => {
  const direct = await createDatabase(t)
  for (const setting of [
    `datestyle = 'SQL, DMY'`,
    `default_transaction_isolation = 'serializable'`,
    `statement_timeout = '61s'`,
    `client_encoding = 'LATIN1'`,
  ])
    await administer(direct, `alter database ${nameOf(direct)} set ${setting}`)
  const { url } = await startPgBouncer(t, direct, { mode: 'transaction', poolSize: 2 })
  const database = openDatabase({ url, poolMax: 6, log })
  t.teardown(() => database.close())

  await t.test('every statement has its settings, and leaves none of them behind', async (t) => {
    const rows = await Promise.all(
      Array.from({ length: 40 }, () =>
        database.named(
          'settings',
          `select current_setting('transaction_isolation') as isolation, current_setting('datestyle') as datestyle,
             current_setting('statement_timeout') as statement_timeout, 'Grüße ☂' as text, $1::timestamptz as at`,
          ['2026-02-03T04:05:06.789Z'],
        ),
      ),
    )
    for (const [row] of rows)
      t.same(row, {
        isolation: 'read committed',
        datestyle: 'ISO, MDY',
        statement_timeout: '4s',
        text: 'Grüße ☂',
        at: new Date('2026-02-03T04:05:06.789Z'),
      })
    const other = new pg.Pool({ connectionString: url, max: 2 })
    const left = await Promise.all(
      Array.from({ length: 2 }, () =>
        other.query(
          `select current_setting('statement_timeout') as timeout, current_setting('default_transaction_isolation') as isolation, pg_sleep(0.2)`,
        ),
      ),
    )
    await other.end()
    for (const { rows } of left) t.match(rows, [{ timeout: '61s', isolation: 'serializable' }])
  })

  await t.test('a statement that fails is undone and harms no other', async (t) => {
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, n) =>
        database.run((db) =>
          sql<{ n: number }>`select 60 / (${n % 3}::integer) * 0 + ${n}::integer as n`.execute(db),
        ),
      ),
    )
    for (const [n, result] of results.entries()) {
      if (n % 3 === 0) t.match(result, { status: 'rejected', reason: { code: '22012' } })
      else t.match(result, { status: 'fulfilled', value: { rows: [{ n }] } })
    }
  })

  await t.test('a statement that takes too long is cut off by the server', async (t) => {
    await t.rejects(
      database.run((db) => sql`select pg_sleep(6)`.execute(db)),
      { code: 'query_timeout', details: { cause: { code: '57014' } } },
    )
  })
})

t.test(
  'sessions that a pooler opened while the database was read-only do not outlive that',
  { skip },
  async (t) => {
    const direct = await createDatabase(t)
    const { url } = await startPgBouncer(t, direct, { mode: 'transaction', poolSize: 3 })
    const database = openDatabase({ url, poolMax: 4, log })
    t.teardown(() => database.close())
    const write = () =>
      database.run((db) =>
        sql`insert into conversations (id, user_id, title) values (${crypto.randomUUID()}, 'alice', 'a title')`.execute(
          db,
        ),
      )
    await write()
    await administer(direct, `alter database ${nameOf(direct)} set default_transaction_read_only = on`)
    await administer(direct, DISCONNECT)
    await t.rejects(write(), { code: 'database_unavailable' })
    // The pooler has sessions from this time for other clients, too.
    const other = new pg.Pool({ connectionString: url, max: 3 })
    await Promise.all(Array.from({ length: 3 }, () => other.query('select pg_sleep(0.3)')))
    await other.end()
    await administer(
      direct,
      `begin read write; alter database ${nameOf(direct)} reset default_transaction_read_only; commit`,
    )
    while (!(await write().catch(() => undefined))) await setTimeout(20)
    await t.resolves(
      Promise.all(Array.from({ length: 3 }, () => database.run((db) => sql`select 1`.execute(db)))),
    )
  },
)

t.test('migrations through PgBouncer in transaction mode', { skip }, async (t) => {
  await t.test('are applied once by two callers at the same time, and leave no lock behind', async (t) => {
    const direct = await createEmptyDatabase(t)
    const { url } = await startPgBouncer(t, direct, { mode: 'transaction' })
    const applied = await Promise.all([migrate(url), migrate(url)])
    t.equal(applied.filter((names) => names.length > 0).length, 1)
    t.same(await schemaState(url), { state: 'current' })
    const client = new pg.Client({ connectionString: direct })
    await client.connect()
    const { rows } = await client.query(
      `select 1 from pg_locks join pg_database d on d.oid = database where locktype = 'advisory' and datname = current_database()`,
    )
    await client.end()
    t.same(rows, [])
  })

  await t.test('are refused with a sentence when one of them cannot run in a transaction', async (t) => {
    const { url } = await startPgBouncer(t, await createEmptyDatabase(t), { mode: 'transaction' })
    const migrations = { '0001_index': { inTransaction: false, up: () => setTimeout(0) } }
    await t.rejects(migrate(url, { migrations }), { message: /0001_index cannot run through a pooler/ })
  })
})
