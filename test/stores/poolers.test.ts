import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { openDatabase } from '../../src/stores/database.ts'
import { migrate, schemaState } from '../../src/stores/migrations.ts'
import { startPgBouncer, WITHOUT_PGBOUNCER } from '../support/pgbouncer.ts'
import { administer, createDatabase, createEmptyDatabase } from '../support/postgres.ts'
import { startService } from '../support/service.ts'

const skip = WITHOUT_PGBOUNCER
const log = { warn() {} }
const nameOf = (url: string) => new URL(url).pathname.slice(1)

for (const mode of ['session', 'transaction'] as const) {
  t.test(
    `60 syncs at once through PgBouncer in ${mode} mode are answered and stored`,
    { skip },
    async (t) => {
      const direct = await createDatabase(t)
      const databaseUrl = (await startPgBouncer(t, direct, { mode, poolSize: 10 })).url
      const { app, call } = await startService(t, { databaseUrl })
      t.equal((await call('GET', '/readyz')).body.status, 'ok')
      const answers = await Promise.all(
        Array.from({ length: 60 }, async (_, n) => {
          const answer = await call('POST', '/api/agent/chat/sync', {
            body: { message: `What is ${n} + 1?` },
            headers: { prefer: 'wait=120' },
          })
          return { status: answer.status, state: answer.body.status, text: answer.body.text }
        }),
      )
      t.same(
        answers,
        answers.map((_, n) => ({ status: 200, state: 'completed', text: `${n} + 1 = ${n + 1}.` })),
      )
      t.ok(app.database.pool().total > 1, 'several connections were used')
      t.equal((await call('GET', '/api/agent/chat?limit=100&status=completed')).body.data.length, 60)
    },
  )
}

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
