import { setTimeout as sleep } from 'node:timers/promises'
import type { App } from '../app.ts'
import { explainListen } from '../start-error.ts'

/** Listens; a port that cannot be had is a sentence. @returns the address */
export async function serve(app: App, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    throw explainListen(error, { host, port }, 'PORT or HOST')
  }
}

/**
 * Lets the service end without a failed request: readiness says 503 while everything still works, so that
 * traffic goes elsewhere; then it stops listening, waits answer, streams break off for their clients to resume,
 * what is in flight finishes, and the background work and the pool end.
 */
export async function drain(app: App, delayMs: number): Promise<void> {
  app.health.drain()
  if (delayMs > 0) await sleep(delayMs)
  await app.close()
}
