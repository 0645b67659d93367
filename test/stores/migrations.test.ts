import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { migrate, migrateDown, type StoredMigration } from '../../src/stores/migrations.ts'
import { createEmptyDatabase } from '../support/postgres.ts'

const table: StoredMigration = {
  up: async (db) => void (await sql`create table things (a integer)`.execute(db)),
  down: async (db) => void (await sql`drop table things`.execute(db)),
}
const index: StoredMigration = {
  inTransaction: false,
  up: async (db) => void (await sql`create index concurrently things_by_a on things (a)`.execute(db)),
  down: async (db) => void (await sql`drop index concurrently things_by_a`.execute(db)),
}
const column: StoredMigration = {
  up: async (db) => void (await sql`alter table things add column b integer`.execute(db)),
  down: async (db) => void (await sql`alter table things drop column b`.execute(db)),
}

t.test('a migration that cannot run in a transaction is a separate step, in its order', async (t) => {
  const url = await createEmptyDatabase(t)
  const migrations = { '1_table': table, '2_index': index, '3_column': column }
  const applied = await Promise.all([migrate(url, { migrations }), migrate(url, { migrations })])
  t.same(applied.flat().sort(), Object.keys(migrations), 'two callers at once apply each of them once')
  for (const name of Object.keys(migrations).reverse()) t.same(await migrateDown(url, { migrations }), [name])
})

t.test('when a migration fails, those that share its transaction are undone with it', async (t) => {
  const url = await createEmptyDatabase(t)
  const broken: StoredMigration = { up: async (db) => void (await sql`select from nothing`.execute(db)) }
  await t.rejects(migrate(url, { migrations: { '1_table': table, '2_broken': broken } }), { code: '42P01' })
  t.same(await migrate(url, { migrations: { '1_table': table } }), ['1_table'])
})

t.test('a migration lets go of a table that a long transaction uses, and tries again', async (t) => {
  const url = await createEmptyDatabase(t)
  await migrate(url, { migrations: { '1_table': table } })
  const reader = new pg.Client({ connectionString: url })
  await reader.connect()
  await reader.query('begin; select from things')
  const lines: string[] = []
  const applied = await migrate(url, {
    migrations: { '1_table': table, '2_column': column },
    report(line) {
      lines.push(line)
      void reader.query('commit')
    },
  })
  await reader.end()
  t.same(applied, ['2_column'])
  t.match(lines, [/in use by a long transaction/])
})
