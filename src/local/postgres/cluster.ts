import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { reason } from '../data-dir.ts'
import { type Binaries, bareEnvironment } from './binaries.ts'
import { type Home, serverFolder } from './home.ts'

const run = promisify(execFile)

/** The programs, the folders and the account with which a cluster is created and its server runs. */
export type Launch = {
  home: Home
  binaries: Binaries
  password: string
  /** Whether the data may be lost in a power cut. The server then does not wait for the disk. */
  ephemeral: boolean
}

/** The superuser of the cluster, which has no other user. */
export const superuser = 'agent_chat'

/** The major version of Postgres that wrote the cluster; undefined when there is none yet. */
export async function clusterVersion(cluster: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(join(cluster, 'PG_VERSION'), 'utf8'), 10)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new Error(`The database in ${cluster} cannot be read (${reason(error)}).`, { cause: error })
  }
}

/**
 * Creates the cluster `postgres` in the home folder. The cluster gets its name when it is complete, so that an interrupted
 * attempt leaves no folder of that name. The next attempt removes the files of an interrupted one.
 */
export async function createCluster({ home, binaries, password, ephemeral }: Launch): Promise<void> {
  await removeDrafts(home.folder)
  const draft = join(home.folder, `postgres.${randomBytes(6).toString('hex')}`)
  const passwordFile = `${draft}.password`
  try {
    await serverFolder(draft, home.account)
    await writeFile(passwordFile, password, { flag: 'wx', mode: 0o600 })
    if (home.account) await chown(passwordFile, home.account.uid, home.account.gid)
    const options = [...initdbOptions(binaries.major), ...(ephemeral ? ['--no-sync'] : [])]
    await run(binaries.initdb, [`--pgdata=${draft}`, `--pwfile=${passwordFile}`, ...options], {
      ...home.account,
      cwd: '/',
      env: bareEnvironment,
      timeout: 120_000,
    })
    await rename(draft, join(home.folder, 'postgres'))
  } catch (error) {
    throw new Error(`The database could not be created in ${home.folder} (${reason(error)}).`, {
      cause: error,
    })
  } finally {
    await rm(passwordFile, { force: true })
    await rm(draft, { recursive: true, force: true })
  }
}

function initdbOptions(major: number): string[] {
  return [
    `--username=${superuser}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    // This locale gives letters beyond ASCII an upper and a lower case on every machine.
    ...(major >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []),
  ]
}

async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/^postgres\.[0-9a-f]{12}(\.password)?$/.test(name)) {
      await rm(join(folder, name), { recursive: true, force: true })
    }
  }
}
