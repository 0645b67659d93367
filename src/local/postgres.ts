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
  /** Superuser of a database of its own, on 127.0.0.1, with password. */
  url: string
  /** Ends all connections, waits until the server has ended and releases the data folder. Repeatable. */
  stop(): Promise<void>
}

type Options = {
  /** Created when missing; the database in it is kept from start to start. */
  dataDir: string
  log: Log
  /** Called once when the database's folder has been deleted while the server runs. */
  onLost?: (error: Error) => void
  /** For tests: fast, careless about power cuts, and deleted by stop(). */
  ephemeral?: boolean
}

/**
 * Starts a real Postgres of this machine's own, on a data folder that only one process at a time may use.
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
