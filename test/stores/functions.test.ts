import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { test } from 'tap'
import { createDatabase } from '../support/postgres.ts'

const FOLDER = 'src/stores/sql'

test('a migrated database holds the functions that stand in src/stores/sql, and no others', async (t) => {
  const client = new pg.Client({ connectionString: await createDatabase(t) })
  await client.connect()
  const functions = async () => {
    const { rows } = await client.query<{ name: string; definition: string }>(
      `select proname as name, pg_get_functiondef(oid) as definition from pg_proc
       where pronamespace = 'public'::regnamespace order by proname`,
    )
    return Object.fromEntries(rows.map(({ name, definition }) => [name, definition]))
  }
  try {
    const migrated = await functions()
    const files = readdirSync(FOLDER).sort()
    t.same(
      Object.keys(migrated),
      files.map((file) => file.replace(/\.sql$/, '')),
    )
    for (const file of files) await client.query(readFileSync(join(FOLDER, file), 'utf8'))
    t.same(await functions(), migrated)
  } finally {
    await client.end()
  }
})
