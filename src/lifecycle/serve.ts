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
 * Ends the instance without a failed request. First readiness answers 503 while all routes still work, so that balancers
 * send requests to other instances. Then the instance stops listening, answers long polls, cuts streams so that their
 * clients resume them, finishes the requests in flight, and ends the upkeep and the connection pool.
 */
export async function drain(app: App, delayMs: number): Promise<void> {
  app.health.drain()
  if (delayMs > 0) await sleep(delayMs)
  await app.close()
}
