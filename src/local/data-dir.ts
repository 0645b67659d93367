import { constants } from 'node:fs'
import { access, mkdir, realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StartError } from '../start-error.ts'

/**
 * Creates the folder in which the embedded parts keep their data, and returns its real path.
 *
 * @throws StartError that names LOCAL_DATA_DIR when the folder cannot be created or written.
 */
export async function prepareDataDir(path: string): Promise<string> {
  try {
    // When root starts the service, the database server runs as another user, who must be able to enter this folder.
    // Every file in it has mode 0600.
    await mkdir(path, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return await realpath(path)
  } catch (error) {
    throw new StartError(
      `The data folder ${resolve(path)} cannot be used (${reason(error)}). ` +
        'Set LOCAL_DATA_DIR to a folder that this user may write.',
      { cause: error },
    )
  }
}

/** The reason of an error, as a short text that fits into a sentence. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
