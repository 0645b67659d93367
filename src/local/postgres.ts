import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { findBinaries } from './postgres/binaries.ts'
import { clusterVersion, createCluster } from './postgres/cluster.ts'
import { findHome } from './postgres/home.ts'
import { keepServer } from './postgres/keeper.ts'
import { stopLeftover } from './postgres/leftover.ts'
import { lockFolder } from './postgres/lock.ts'
import type { Log } from './postgres/log.ts'
import { databaseUrl } from './postgres/server.ts'
import { localSecret } from './secret.ts'

export type LocalPostgres = {
  /** Address with the password of the superuser, on 127.0.0.1. */
  url: string
  /** Ends all connections, waits for the end of the server, and releases the data folder. It may be called twice. */
  stop(): Promise<void>
}

type Options = {
  /** The data folder. It is created when it is missing, and its database is kept from start to start. */
  dataDir: string
  log: Log
  /** Called once when the folder of the database has been deleted while the server runs. */
  onLost?: (error: Error) => void
  /** For tests: the server does not wait for the disk, and stop() deletes its folder. */
  ephemeral?: boolean
}

/**
 * Starts a real Postgres on this machine, in a data folder that one process at a time may use.
 *
 * @throws StartError whose message says what to do: folder in use or not writable, no Postgres to be found
 */
export async function startPostgres({
  dataDir,
  log,
  onLost,
  ephemeral = false,
}: Options): Promise<LocalPostgres> {
  const home = await findHome(dataDir)
  const cluster = join(home.folder, 'postgres')
  const unlock = await lockFolder(home.folder)
  try {
    await stopLeftover(cluster, log)
    const version = await clusterVersion(cluster)
    const binaries = await findBinaries(home.account, version)
    const password = await localSecret(home.folder, 'postgres-password')
    const launch = { home, binaries, password, ephemeral }
    if (version === undefined) {
      log.info(`Creating a database in ${cluster}.`)
      await createCluster(launch)
    }
    const server = await keepServer(launch, log, onLost)
    let stopped: Promise<void> | undefined
    const stop = async () => {
      await server.stop()
      if (ephemeral) await rm(home.apart ? home.folder : cluster, { recursive: true, force: true })
      unlock()
    }
    return {
      url: databaseUrl(server.port, password),
      stop() {
        stopped ??= stop()
        return stopped
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}
