import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, isIPv6 } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Makes the server listen, and returns the addresses for callers and for children. With an IPv6 address the children
 * get a listener of their own, because core's stream writer treats the brackets of such a URL as a part of the host.
 */
export async function listen(
  app: FastifyInstance,
  host: string,
  port: number,
): Promise<{ url: string; childUrl: string }> {
  const forChildren = isIPv6(host) ? anotherListener(app) : undefined
  await app.listen({ host, port })
  // The address keeps the name that the caller gave: "localhost" stays "localhost".
  const url = `http://${isIPv6(host) ? `[${host}]` : host}:${portOf(app.server)}`
  if (!forChildren) return { url, childUrl: url }
  await once(forChildren.listen(0, '127.0.0.1'), 'listening')
  return { url, childUrl: `http://127.0.0.1:${portOf(forChildren)}` }
}

function anotherListener(app: FastifyInstance): Server {
  const server = createServer((request, response) => app.routing(request, response))
  app.addHook('onClose', async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return server
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port
