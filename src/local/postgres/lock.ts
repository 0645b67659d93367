import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StartError } from '../../start-error.ts'
import { reason } from '../data-dir.ts'

const sqliteBusy = 5

/**
 * Makes this process the only one that runs the database in this folder.
 *
 * Node has no file locks, but SQLite has. The kernel drops such a lock when its process ends, also when it is killed. So
 * no lock is left behind, and a reused process id does no harm.
 *
 * @returns a function that releases the folder
 * @throws StartError that names the process which holds the lock
 */
export async function lockFolder(folder: string): Promise<() => void> {
  const holder = join(folder, 'service.pid')
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(join(folder, 'postgres.lock'))
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    if (!(error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy)) {
      throw new StartError(`The lock in ${folder} cannot be taken (${reason(error)}).`, { cause: error })
    }
    const pid = await readFile(holder, 'utf8').catch(() => 'unknown')
    throw new StartError(
      `The data folder ${folder} is in use by another instance of this service (process ${pid.trim()}). ` +
        'Stop that one first, or give this one a folder of its own with LOCAL_DATA_DIR.',
    )
  }
  await writeFile(holder, `${process.pid}\n`)
  const held = database
  return () => held.close()
}
