import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The user that the database server runs as; undefined means: as ourselves. */
export type Account = { uid: number; gid: number } | undefined

// "nobody" on Debian, Fedora and Alpine. initdb insists on a user that has a name.
const nobody = { uid: 65534, gid: 65534 }

/**
 * Postgres refuses to run as root, so root hands it to someone else: to the owner of the cluster when it was
 * made by a normal user, otherwise to "nobody".
 */
export async function serverAccount(cluster: string): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(cluster).catch(() => undefined)
  return owner && owner.uid !== 0 ? { uid: owner.uid, gid: owner.gid } : nobody
}

/** Whether the account may pass through the folder and everything above it. */
export async function canEnter(folder: string, account: Account): Promise<boolean> {
  if (!account) return true
  const { uid, gid, mode } = await stat(folder)
  const execute = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
  if (!(mode & execute)) return false
  const parent = dirname(folder)
  return parent === folder || canEnter(parent, account)
}
