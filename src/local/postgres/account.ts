import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The user as which the database server runs; undefined: the user of this process. */
export type Account = { uid: number; gid: number } | undefined

// The user "nobody" of Debian, Fedora and Alpine. initdb demands a user that has a name.
const nobody = { uid: 65534, gid: 65534 }

/**
 * Postgres refuses to run as root. A service that runs as root starts the server as the owner of the cluster, when a
 * normal user created the cluster, and else as "nobody".
 */
export async function serverAccount(cluster: string): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(cluster).catch(() => undefined)
  return owner && owner.uid !== 0 ? { uid: owner.uid, gid: owner.gid } : nobody
}

/** Whether the account may enter the folder and all folders above it. */
export async function canEnter(folder: string, account: Account): Promise<boolean> {
  if (!account) return true
  const { uid, gid, mode } = await stat(folder)
  const execute = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
  if (!(mode & execute)) return false
  const parent = dirname(folder)
  return parent === folder || canEnter(parent, account)
}
