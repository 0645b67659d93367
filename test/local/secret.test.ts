import { spawn } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { localSecret } from '../../src/local/secret.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('a secret is made once, kept for the owner alone, and different for every name and folder', async (t) => {
  const folder = join(await temporaryFolder(t), 'deep', 'down')
  const secret = await localSecret(folder, 'one')
  t.match(secret, /^[\w-]{43}$/)
  t.equal((await stat(join(folder, 'one'))).mode & 0o777, 0o600)
  t.equal(await localSecret(folder, 'one'), secret)
  t.not(await localSecret(folder, 'two'), secret)
  t.not(await localSecret(join(folder, 'other'), 'one'), secret)
  t.strictSame((await readdir(folder)).sort(), ['one', 'other', 'two'], 'no drafts are left')
})

test('processes that ask at the same time get the same secret', async (t) => {
  const folder = await temporaryFolder(t)
  const program = `
    import { localSecret } from ${JSON.stringify(import.meta.resolve('../../src/local/secret.ts'))}
    const asked = Array.from({ length: 20 }, () => localSecret(${JSON.stringify(folder)}, 'shared'))
    console.log(JSON.stringify([...new Set(await Promise.all(asked))]))`
  const processes = [1, 2, 3].map(() =>
    spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  )
  const answers = await Promise.all(processes.map(({ stdout }) => text(stdout)))
  const kept = (await readFile(join(folder, 'shared'), 'utf8')).trim()
  t.strictSame(
    answers.map((answer) => JSON.parse(answer)),
    [[kept], [kept], [kept]],
  )
  t.strictSame(await readdir(folder), ['shared'])
})

test('a file that holds something else is refused by name, not used as a key', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'damaged')
  await writeFile(file, '')
  await t.rejects(localSecret(folder, 'damaged'), { message: new RegExp(`${file} .*Delete it`) })
})

test('a folder that cannot be made is reported with the setting that names it', async (t) => {
  const file = join(await temporaryFolder(t), 'file')
  await writeFile(file, '')
  await t.rejects(localSecret(join(file, 'folder'), 'one'), { message: /cannot be used .*LOCAL_DATA_DIR/ })
})
