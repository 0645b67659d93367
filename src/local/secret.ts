import { randomBytes } from 'node:crypto'
import { link, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { prepareDataDir, reason } from './data-dir.ts'

const secretBytes = 32

/** The secret that signs and verifies tokens when no key is configured. The service and `npm run token` share it. */
export function localSigningSecret(dataDir: string): Promise<string> {
  return localSecret(dataDir, 'jwt-secret')
}

/**
 * The random secret of that name, in a file of mode 0600 in the data folder. It is made on first use. Processes that ask
 * at the same time get the same secret.
 *
 * @param name a plain word that becomes the file's name
 * @returns 43 characters of base64url (256 bits)
 * @throws an Error that names the file when it cannot be read or does not hold a secret
 */
export async function localSecret(dataDir: string, name: string): Promise<string> {
  const file = join(await prepareDataDir(dataDir), name)
  const secret = (await read(file)) ?? (await create(file))
  if (!/^[\w-]{43}$/.test(secret)) {
    throw new Error(
      `${file} does not hold a secret that this service wrote. Delete it to have a new one made.`,
    )
  }
  return secret
}

async function read(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new Error(`The secret in ${file} cannot be read (${reason(error)}).`, { cause: error })
  }
}

async function create(file: string): Promise<string> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${randomBytes(secretBytes).toString('base64url')}\n`)
    await handle.sync()
    // A link appears whole or not at all, and for the first of several processes alone.
    await link(draft, file)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    await handle.close()
    await rm(draft, { force: true })
  }
  return (await read(file)) ?? ''
}
