import { chown, lstat, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StartError } from '../../start-error.ts'
import { prepareDataDir } from '../data-dir.ts'
import { localSecret } from '../secret.ts'
import { type Account, canEnter, serverAccount } from './account.ts'

/** The folder of the cluster, its password, its lock and its log, and the account that runs the server. */
export type Home = {
  folder: string
  account: Account
  /** The folder is outside of the data folder, so deleting the data folder leaves it behind. */
  apart: boolean
}

/**
 * The data folder itself. When root starts the service and the server's user cannot reach the data folder (a checkout
 * below /root), it is a folder in /var/tmp that belongs to the data folder. The name of that folder is random, so that
 * deleting the data folder starts over, and so that no other user can create the folder first.
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
 * Creates a folder in a place where every user may create folders. This user alone may write it; others may at most pass
 * through.
 *
 * @throws StartError when another user has created something there
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

/** Creates a folder that the account of the server alone may enter. */
export async function serverFolder(path: string, account: Account): Promise<void> {
  await mkdir(path, { mode: 0o700 })
  if (account) await chown(path, account.uid, account.gid)
}
