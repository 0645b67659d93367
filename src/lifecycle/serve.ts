import { setTimeout as sleep } from 'node:timers/promises'
import type { App } from '../app.ts'
import { explainListen } from '../start-error.ts'

/** Makes the service listen. @returns its address @throws StartError when the service cannot listen on the port */
export async function serve(app: App, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    const listenTextResolver = (address: string) => `the service listens on ${address}`
    return await app.listen({ host, port, listenTextResolver })
  } catch (error) {
    throw explainListen(error, { host, port }, 'PORT or HOST')
  }
}

/**
 * Ends the service without a failed request: readiness answers 503 while everything still works, so that traffic
 * goes elsewhere. Then the service stops listening, long polls answer, streams break off for their clients to
 * resume, requests in flight finish, and background work and connection pool end.
 */
export async function drain(app: App, delayMs: number): Promise<void> {
  app.health.drain()
  if (delayMs > 0) await sleep(delayMs)
  await app.close()
}
