import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { reason } from '../data-dir.ts'
import type { Launch } from './cluster.ts'
import type { Log } from './log.ts'
import { freePort, type Server, startServer } from './server.ts'

const pause = 250
const attempts = 5

/**
 * Runs the server until it is stopped. When it ends by itself (killed for its memory, say) it is started again on
 * the same port, so that whoever has its address only has to connect anew.
 */
export async function keepServer(launch: Launch, log: Log): Promise<{ port: number; stop(): Promise<void> }> {
  const first = await startSomewhere(launch)
  const stopping = new AbortController()
  let current = first
  const watching = watch()

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) {
      if (!current.ended()) await once(current.child, 'exit')
      if (stopping.signal.aborted) return
      log.error('The embedded database ended unexpectedly. Starting it again.')
      const next = await startAgain(launch, first.port, stopping.signal, log)
      if (!next) return
      current = next
      if (stopping.signal.aborted) await current.stop()
    }
  }

  return {
    port: first.port,
    async stop() {
      stopping.abort()
      await current.stop()
      await watching
    },
  }
}

/** A port that was free may be taken a moment later, and connections of a killed server take a moment to end. */
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
