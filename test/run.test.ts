import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import { test } from 'tap'
import { temporaryFolder } from './support/temporary.ts'

const server = process.env.TEST_DATABASE_SERVER ?? ''

type Teardown = Parameters<typeof temporaryFolder>[0]
type Files = Record<string, string>

/** A project with these test files, each of which may take so many seconds. */
async function project(t: Teardown, files: Files, timeout = 60): Promise<string> {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'test'))
  await symlink(join(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'))
  const settings = { type: 'module', tap: { 'type-strip-only': true, timeout } }
  await writeFile(join(folder, 'package.json'), JSON.stringify(settings))
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, 'test', `${name}.test.ts`), content)
  }
  return folder
}

/** The runner at work in a project, on the database server of this run. */
function run(folder: string, args: string[] = [], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'run.mjs'), ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, TEST_DATABASE_URL: server, ...environment },
  })
  const result = Promise.all([text(child.stdout), once(child, 'exit')]).then(([output, [code]]) => ({
    code,
    output,
    lastLine: output.trimEnd().split('\n').at(-1),
  }))
  return { child, result }
}

const good = `
  import t, { test } from 'tap'
  t.pass('an assertion beside the tests')
  test('a plain test', async (t) => { t.equal(1, 1); t.equal(2, 2) })
  test('a group', async (t) => {
    await t.test('its first test', async (t) => { t.pass() })
    await t.test('its second test', async (t) => { t.pass() })
  })`

test('innermost tests are counted, and a run in which all of them pass ends with 0', async (t) => {
  const { code, output, lastLine } = await run(await project(t, { good })).result
  t.equal(lastLine, '4 passed, 0 failed')
  t.equal(code, 0)
  t.match(output, /^ok +test\/good\.test\.ts +4 passed +\d+\.\d\d s$/m)
})

test('each fault of a file counts as one failure with the name of the file, and the run ends with 1', async (t) => {
  const folder = await project(t, {
    good,
    'broken assertion': `
      import { test } from 'tap'
      test('outer', async (t) => {
        await t.test('inner', async (t) => { t.equal('is', 'should be', 'the word') })
        await t.test('beside', async (t) => { t.pass() })
      })`,
    'dies while loading': `import './nowhere.ts'`,
    'dies after its tests': `
      import { test } from 'tap'
      test('fine', async (t) => { t.pass(); setTimeout(() => { throw new Error('late') }) })`,
    'does not keep its plan': `
      import t from 'tap'
      t.plan(2)
      t.pass('one of two')`,
    'runs nothing': '',
  })
  const { code, output, lastLine } = await run(folder).result
  t.equal(lastLine, '7 passed, 5 failed')
  t.equal(code, 1)
  t.match(output, /FAILED test\/broken assertion\.test\.ts > outer > inner\n {4}the word\n/)
  t.match(output, /at test\/broken assertion\.test\.ts:4:\d+[\s\S]*?-should be\n +\+is/)
  t.match(output, /FAILED test\/dies while loading\.test\.ts\n +The file ended with code 1/)
  t.match(output, /FAILED test\/dies after its tests\.test\.ts\n +The file ended with code 1/)
  t.match(output, /FAILED test\/does not keep its plan\.test\.ts/)
  t.match(output, /FAILED test\/runs nothing\.test\.ts\n +The file ran no test/)
})

test('a file that takes too long is stopped and is a failure', async (t) => {
  const hangs = `
      import { test } from 'tap'
      test('waits for ever', async () => { setInterval(() => {}, 1_000); await new Promise(() => {}) })`
  const { code, output, lastLine } = await run(await project(t, { hangs }, 1)).result
  t.equal(lastLine, '0 passed, 1 failed')
  t.equal(code, 1)
  t.match(output, /FAILED test\/hangs\.test\.ts[\s\S]*took too long/)
})

test('with TEST_AGAIN=1 a file that failed runs again, and the second outcome counts', async (t) => {
  const now = `
      import { existsSync, writeFileSync } from 'node:fs'
      import { test } from 'tap'
      test('fails the first time', async (t) => {
        t.ok(existsSync('been here'), 'the place was new')
        writeFileSync('been here', '')
      })`
  const always = `
      import { test } from 'tap'
      test('fails each time', async (t) => { t.fail('as ever') })`
  const once = await run(await project(t, { good, now }), [], { TEST_AGAIN: '1' }).result
  t.equal(once.lastLine, '5 passed, 0 failed')
  t.equal(once.code, 0)
  t.match(once.output, /the place was new[\s\S]*test\/now\.test\.ts runs again, alone\.\nok /)

  const twice = await run(await project(t, { good, always }), [], { TEST_AGAIN: '1' }).result
  t.equal(twice.lastLine, '4 passed, 1 failed')
  t.equal(twice.code, 1)

  const without = await run(await project(t, { good, now })).result
  t.equal(without.lastLine, '4 passed, 1 failed', 'without it a failure counts')
})

test('a run in which nothing was executed is not a success', async (t) => {
  const lazy = `
      import { test } from 'tap'
      test('not today', { skip: true }, async () => {})
      test('not yet', { todo: true }, async () => {})`
  const skipped = await run(await project(t, { lazy })).result
  t.equal(skipped.lastLine, '0 passed, 0 failed, 2 skipped')
  t.equal(skipped.code, 1)

  const absent = await run(await project(t, { good }), ['test/absent.test.ts']).result
  t.equal(absent.lastLine, '0 passed, 1 failed')
  t.equal(absent.code, 1)
  t.match(absent.output, /FAILED test\/absent\.test\.ts\n +The file does not exist/)
})

test('a runner that is told to end takes its test processes and its database with it', async (t) => {
  const folder = await project(t, {
    slow: `
      import { test } from 'tap'
      test('is interrupted', async (t) => {
        console.error(JSON.stringify({ pid: process.pid, template: process.env.TEST_DATABASE_TEMPLATE }))
        setInterval(() => {}, 1_000)
        await new Promise(() => {})
      })`,
  })
  const { child, result } = run(folder)
  const [line] = await once(createInterface({ input: child.stderr }), 'line')
  const { pid, template } = JSON.parse(line)
  child.kill('SIGTERM')

  const { code, output, lastLine } = await result
  t.equal(code, 1)
  t.match(lastLine, /^0 passed, \d failed$/)
  t.match(output, /Interrupted by SIGTERM/)
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  const client = new pg.Client(server)
  await client.connect()
  t.teardown(() => client.end())
  const { rows } = await client.query('select datname from pg_database where datname = $1', [template])
  t.strictSame(rows, [])
})
