import { chown, lstat, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StartError } from '../../start-error.ts'
import { prepareDataDir } from '../data-dir.ts'
import { localSecret } from '../secret.ts'
import { type Account, canEnter, serverAccount } from './account.ts'

/** Where the cluster, its password, lock and log are, and who runs the server. */
export type Home = {
  folder: string
  account: Account
  /** Not in the data folder, and so not removed together with it. */
  apart: boolean
}

/**
 * The data folder itself, or, when root's server user cannot pass through to it (a checkout below /root), a
 * folder in /var/tmp that belongs to this data folder. Its name is random, so that deleting the data folder
 * starts over and nobody can be there first.
 */
export async function findHome(dataDir: string): Promise<Home> {
  const folder = await prepareDataDir(dataDir)
  const account = await serverAccount(join(folder, 'postgres'))
  if (await canEnter(folder, account)) return { folder, account, apart: false }

  const id = await localSecret(folder, 'postgres-folder')
  const elsewhere = await ownFolder(`/var/tmp/agent-chat-service-${id}`)
  return { folder: elsewhere, account: await serverAccount(join(elsewhere, 'postgres')), apart: true }
}

/**
 * Creates a folder where everybody may create folders, for us to write and for others at most to pass through.
 *
 * @throws when somebody else has put something there
 */
export async function ownFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o711 })
  const { uid, mode } = await lstat(path)
  const directory = (mode & 0o170000) === 0o040000
  if (!directory || uid !== process.getuid?.() || mode & 0o022) {
    throw new StartError(`${path} is not a folder of this user alone. Remove it, or set DATABASE_URL.`)
  }
  return path
}

/** Creates a folder that only the server's account may enter. */
export async function serverFolder(path: string, account: Account): Promise<void> {
  await mkdir(path, { mode: 0o700 })
  if (account) await chown(path, account.uid, account.gid)
}
