import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { isAway, neverSent, openDatabase } from '../../src/stores/database.ts'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { createDatabase } from '../support/postgres.ts'

const log = { warn() {} }

t.test('the database', async (t) => {
  const url = await createDatabase(t)
  const proxy = await startToxicProxy(url)
  t.teardown(() => proxy.stop())
  const database = openDatabase({ url: proxy.url, poolMax: 4, log })
  t.teardown(() => database.close())
  const one = () => database.run((db) => sql<{ one: number }>`select 1 as one`.execute(db))
  /** Pauses between the attempts: refusals by the breaker take no time, and would leave none for its trial. */
  const answering = async () => {
    while ((await one().catch(() => undefined)) === undefined) await setTimeout(20)
  }

  t.test(
    'may end connections in the middle of statements: the caller hears of it, the process lives',
    async (t) => {
      const admin = openDatabase({ url, poolMax: 1, log })
      const sleeping = [
        database.run((db) => sql`select pg_sleep(3)`.execute(db)),
        database.named('sleep', 'select pg_sleep(3)', []),
      ].map((statement) => statement.catch((error: unknown) => error))
      for (let asleep = 0; asleep < 2; ) {
        const { rows } = await admin.run((db) =>
          sql`select pid from pg_stat_activity
            where datname = current_database() and state = 'active' and query like 'select pg_sleep%'`.execute(
            db,
          ),
        )
        asleep = rows.length
      }
      await admin.run((db) =>
        sql`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and query like 'select pg_sleep%'`.execute(db),
      )
      for (const error of await Promise.all(sleeping)) t.ok(isAway(error))
      await admin.close()
      await answering()
      t.same((await one()).rows, [{ one: 1 }])
    },
  )

  t.test('when away, is tried by one call a second; the others are refused at once', async (t) => {
    let recovered = 0
    database.onRecovery(() => {
      recovered += 1
    })
    await one()
    proxy.toxics.hang = true
    await t.rejects(one(), { code: 'database_unavailable' })
    const refusals = await Promise.all(
      Array.from({ length: 100 }, () => one().catch((error: unknown) => error)),
    )
    t.ok(refusals.every(isAway))
    t.ok(
      refusals.every((error) => neverSent(error)),
      'none of them waited for a timeout',
    )
    await proxy.mend()
    await answering()
    t.equal(recovered, 1)
  })

  t.test('has one identity for all instances', async (t) => {
    const { housekeepingStore } = await import('../../src/stores/housekeeping.ts')
    const ids = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        housekeepingStore(database).identity(`00000000-0000-7000-8000-00000000000${n}`),
      ),
    )
    t.equal(new Set(ids).size, 1)
  })

  t.test('tells a statement that it has cut off from an outage', async (t) => {
    const slow = () => database.run((db) => sql`set statement_timeout = 50; select pg_sleep(1)`.execute(db))
    await t.rejects(slow(), { code: 'query_timeout', statusCode: 504 })
    t.same((await one()).rows, [{ one: 1 }], 'other calls go on')
    await t.rejects(
      database.page((db) => sql`set statement_timeout = 50; select pg_sleep(1)`.execute(db)),
      { code: 'query_timeout', details: { retryable: false } },
    )
  })

  t.test('tells a lock that was not free in time in the same way', async (t) => {
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    await admin.query('begin; lock table conversations')
    const waiting = database.run((db) => sql`set lock_timeout = 50; select from conversations`.execute(db))
    await t.rejects(waiting, { code: 'query_timeout' })
    await admin.end()
    t.same((await one()).rows, [{ one: 1 }])
  })

  t.test('prepares a statement anew when a migration has changed its table', async (t) => {
    await database.run((db) => sql`create table changing (a integer)`.execute(db))
    const read = () => database.named('changing', 'select * from changing', [])
    const onAll = () => Promise.all(Array.from({ length: 8 }, read))
    await onAll()
    await database.run((db) => sql`insert into changing values (1)`.execute(db))
    await database.run((db) => sql`alter table changing add column b integer default 2`.execute(db))
    for (const rows of await onAll()) t.same(rows, [{ a: 1, b: 2 }])
  })

  t.test('does without prepared statements where they get lost', async (t) => {
    const read = () => database.named<{ one: number }>('forgotten', 'select 1 as one', [])
    await read()
    await Promise.all(Array.from({ length: 8 }, () => database.run((db) => sql`deallocate all`.execute(db))))
    for (const rows of await Promise.all(Array.from({ length: 8 }, read))) t.same(rows, [{ one: 1 }])
  })
})
