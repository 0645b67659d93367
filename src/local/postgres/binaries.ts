import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { StartError } from '../../start-error.ts'
import { reason } from '../data-dir.ts'
import type { Account } from './account.ts'
import { embeddedCopy, embeddedInPlace } from './embedded.ts'

const run = promisify(execFile)

/** A Postgres installation that runs on this machine. */
export type Binaries = { initdb: string; postgres: string; major: number }

/** The environment of the Postgres programs. They inherit no other variable of this process. */
export const bareEnvironment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/**
 * The first Postgres that runs on this machine: the embedded package, the one on the PATH, Debian's.
 *
 * @param wanted the major version that wrote the cluster, when there is one
 * @throws StartError that lists what was tried and points to DATABASE_URL
 */
export async function findBinaries(account: Account, wanted: number | undefined): Promise<Binaries> {
  const failures: string[] = []
  for (const [name, locate] of sources) {
    try {
      for (const folder of await locate()) {
        const found = await probe(folder, account)
        if (wanted === undefined || found.major === wanted) return found
        failures.push(`${name}: is version ${found.major}, the data folder was written by ${wanted}`)
      }
    } catch (error) {
      failures.push(`${name}: ${reason(error).split('\n')[0]}`)
    }
  }
  throw new StartError(
    'No Postgres could be found to run here. Set DATABASE_URL to use one that is already running, ' +
      `or install Postgres. Tried:\n${failures.map((failure) => `  - ${failure}`).join('\n')}`,
  )
}

/** The places where a Postgres is searched, in the order of preference. */
const sources: [name: string, locate: () => Promise<string[]>][] = [
  ['the embedded package', async () => [await embeddedInPlace()]],
  ['a copy of the embedded package', async () => [await embeddedCopy()]],
  ['initdb on the PATH', onPath],
  ['/usr/lib/postgresql', debian],
]

async function onPath(): Promise<string[]> {
  const script = 'found=$(command -v initdb) && readlink -f "$found"'
  const { stdout } = await run('sh', ['-c', script], { timeout: 5_000 }).catch(() => ({ stdout: '' }))
  if (stdout === '') throw new Error('there is none')
  return [dirname(stdout.trim())]
}

async function debian(): Promise<string[]> {
  const versions = await readdir('/usr/lib/postgresql')
  return versions
    .filter((version) => /^\d+$/.test(version))
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => `/usr/lib/postgresql/${version}/bin`)
}

/** Runs the programs as the account that will run the server, which finds missing libraries and closed folders. */
async function probe(folder: string, account: Account): Promise<Binaries> {
  const binaries = { initdb: join(folder, 'initdb'), postgres: join(folder, 'postgres') }
  const options = { ...account, env: bareEnvironment, cwd: '/', timeout: 10_000 }
  await run(binaries.initdb, ['--version'], options)
  const { stdout } = await run(binaries.postgres, ['--version'], options)
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1])
  if (!major) throw new Error(`${binaries.postgres} calls itself ${JSON.stringify(stdout.trim())}`)
  return { ...binaries, major }
}
