import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { type Test, test } from 'tap'
import { migrate, schemaState } from '../src/stores/migrations.ts'
import { createDatabase, createEmptyDatabase } from './support/postgres.ts'
import { startProcess } from './support/process.ts'
import { temporaryFolder } from './support/temporary.ts'

const NAMES = readdirSync('migrations')
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replace(/\.ts$/, ''))
  .sort()
const NEWEST = String(NAMES.at(-1))

/** Runs `node src/bin/migrate.ts` to its end. */
async function run(t: Test, args: string[], environment: Record<string, string>) {
  const migration = startProcess(t, [process.execPath, 'src/bin/migrate.ts', ...args], { environment })
  const { code } = await migration.ended
  return { code, output: migration.output() }
}

test('migrations are applied once, taken back one by one, and applied again', async (t) => {
  const DATABASE_URL = await createEmptyDatabase(t)
  const environment = { NODE_ENV: 'production', DATABASE_URL }
  t.strictSame(
    await run(t, [], environment),
    { code: 0, output: NAMES.map((name) => `applied ${name}`).join('\n') },
    'the address is all that a migration needs, in production too',
  )
  t.strictSame(await run(t, [], environment), { code: 0, output: 'Nothing to do.' })
  t.strictSame(await run(t, ['--down'], environment), { code: 0, output: `reverted ${NEWEST}` })
  t.strictSame(await schemaState(DATABASE_URL), { state: 'behind', migrations: [NEWEST] })
  await migrate(DATABASE_URL)
  t.strictSame(await schemaState(DATABASE_URL), { state: 'current' })
})

test('the address may come from a file, and a file that cannot be read is the fault that is named', async (t) => {
  const file = join(await temporaryFolder(t), 'address')
  writeFileSync(file, `${await createDatabase(t)}\n`)
  const environment = { NODE_ENV: 'production', DATABASE_URL_FILE: file }
  t.strictSame(await run(t, [], environment), { code: 0, output: 'Nothing to do.' })
  const { code, output } = await run(t, [], { ...environment, DATABASE_URL_FILE: `${file}-none` })
  t.equal(code, 1)
  t.match(output, 'DATABASE_URL_FILE: the file cannot be read (ENOENT)')
})

test('every migration can be taken back, and what is left is an empty database', async (t) => {
  const DATABASE_URL = await createDatabase(t)
  for (const name of NAMES.toReversed())
    t.strictSame(await run(t, ['--down'], { DATABASE_URL }), { code: 0, output: `reverted ${name}` })
  t.strictSame(await run(t, ['--down'], { DATABASE_URL }), { code: 0, output: 'Nothing to do.' })
  const client = new pg.Client({ connectionString: DATABASE_URL })
  await client.connect()
  const { rows } = await client.query(
    `select relname from pg_class where relnamespace = 'public'::regnamespace
     union all select proname from pg_proc where pronamespace = 'public'::regnamespace`,
  )
  await client.end()
  t.strictSame(
    rows.map(({ relname }) => relname).filter((name) => !name.startsWith('kysely_migration')),
    [],
  )
})

test('an unknown argument is refused before anything happens', async (t) => {
  const DATABASE_URL = await createEmptyDatabase(t)
  for (const wrong of [['--dwon'], ['down'], ['--down=no']]) {
    const { code, output } = await run(t, wrong, { DATABASE_URL })
    t.equal(code, 2, String(wrong))
    t.match(output, /\[-- --down\]/, 'and says how it is called')
  }
  t.match(await schemaState(DATABASE_URL), { state: 'behind', migrations: NAMES })
})

test('without an address, production lists everything that is missing, and development asks for the address', async (t) => {
  const production = await run(t, [], { NODE_ENV: 'production', PORT: 'eighty' })
  t.equal(production.code, 1)
  for (const name of ['DATABASE_URL', 'TRIGGER_SECRET_KEY', 'AUTH_JWT_SECRET or AUTH_JWKS_URL', 'PORT'])
    t.match(production.output, `${name}:`)
  const wrong = await run(t, [], { NODE_ENV: 'production', DATABASE_URL: 'mysql://secret-host/db' })
  t.equal(wrong.code, 1)
  t.match(wrong.output, /DATABASE_URL: .*\n.*TRIGGER_SECRET_KEY: /)
  t.notMatch(wrong.output, 'secret-host')
  const development = await run(t, [], {})
  t.equal(development.code, 1)
  t.match(development.output, 'needs DATABASE_URL')
})
