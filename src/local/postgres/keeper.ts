import { once } from 'node:events'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { StartError } from '../../start-error.ts'
import { reason } from '../data-dir.ts'
import type { Launch } from './cluster.ts'
import type { Log } from './log.ts'
import { freePort, type Server, startServer } from './server.ts'

const pause = 250
const attempts = 5
/** Milliseconds between two checks that the folder of the database exists. */
const CHECK_MS = 1_000

/**
 * Runs the server until it is stopped. When the server ends by itself, for example because the system has killed it for
 * its memory, it is started again on the same port, so that clients only have to connect again.
 *
 * @param onLost called once when the folder of the database has been deleted, because no server can be started then
 */
export async function keepServer(
  launch: Launch,
  log: Log,
  onLost: (error: Error) => void = () => {},
): Promise<{ port: number; stop(): Promise<void> }> {
  const cluster = join(launch.home.folder, 'postgres')
  let isLost = false
  const first = await startSomewhere(launch)
  const stopping = new AbortController()
  let current = first
  const watching = watch()

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) {
      if (!current.ended()) await once(current.child, 'exit')
      if (stopping.signal.aborted) return
      if (isLost) return
      log.error('The embedded database server ended unexpectedly and is started again.')
      const next = await startAgain(launch, first.port, stopping.signal, log)
      if (!next) return
      current = next
      if (stopping.signal.aborted) await current.stop()
    }
  }

  const checking = setInterval(async () => {
    const isThere = await access(join(cluster, 'PG_VERSION')).then(
      () => true,
      () => false,
    )
    if (isThere || isLost || stopping.signal.aborted) return
    isLost = true
    clearInterval(checking)
    // The files of the server do not exist any more, and a fast shutdown would wait for them.
    current.child.kill('SIGKILL')
    onLost(
      new StartError(
        `The database in ${cluster} has been deleted while the service was running. The service ends; ` +
          'the next start creates an empty database.',
      ),
    )
  }, CHECK_MS).unref()

  return {
    port: first.port,
    async stop() {
      stopping.abort()
      clearInterval(checking)
      await current.stop()
      await watching
    },
  }
}

/**
 * Starts the server with several attempts, because another program may have taken the free port, and a killed server may
 * hold its shared memory for a moment.
 */
async function startSomewhere(launch: Launch): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startServer(launch, await freePort())
    } catch (error) {
      const passing = /could not bind|shared memory block/.test(reason(error))
      if (!passing || attempt === attempts) throw error
    }
    await sleep(pause)
  }
}

async function startAgain(
  launch: Launch,
  port: number,
  signal: AbortSignal,
  log: Log,
): Promise<Server | undefined> {
  for (let attempt = 1; attempt <= attempts && !signal.aborted; attempt++) {
    try {
      await sleep(pause, undefined, { signal })
      return await startServer(launch, port)
    } catch (error) {
      if (!signal.aborted) log.error(reason(error))
    }
  }
  return undefined
}
