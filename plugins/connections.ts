import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../src/config.ts'

type Times = Pick<AppConfig, 'shutdownTimeoutSeconds' | 'shutdownDelaySeconds'>

/** How long the first request of a connection may be on its way: a busy process has accepted it and not read it yet. */
const FIRST_MS = 500
/** How long a request that has begun when the drain does may take to arrive completely. */
const ARRIVAL_MS = 5_000
/** The same, and how long any request may take then, as parts of the time until the forced end. */
const ARRIVE_WITHIN = 0.25
const END_WITHIN = 0.6

/**
 * Lets no connection delay the end. When it closes, Node ends those that are idle, and what answers later is
 * asked to close here. What never carried a request, opened in advance by a browser or a client, is destroyed in
 * an instant; a request that does not arrive, some seconds later: nothing of it was accepted. Whatever is still
 * open then has most of the time there is; the rest belongs to the handover, the pool and the traces.
 */
const connections: FastifyPluginAsync<{ config: Times }> = async (app, { config }) => {
  const open = new Map<Socket, Set<IncomingMessage>>()
  const unused = new Set<Socket>()
  let closing = false
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket)
    open.set(socket, new Set())
    socket.once('close', () => {
      unused.delete(socket)
      open.delete(socket)
    })
  })
  app.server.on('request', (request, response) => {
    unused.delete(request.socket)
    const requests = open.get(request.socket)
    requests?.add(request)
    response.once('close', () => requests?.delete(request))
  })

  function endStalled(): void {
    for (const [socket, requests] of open) {
      if (![...requests].some(({ complete }) => complete)) socket.destroy()
    }
  }

  app.addHook('preClose', async () => {
    closing = true
    const left = (config.shutdownTimeoutSeconds - config.shutdownDelaySeconds) * 1000
    setTimeout(() => {
      for (const socket of unused) socket.destroy()
    }, FIRST_MS).unref()
    setTimeout(endStalled, Math.min(ARRIVAL_MS, left * ARRIVE_WITHIN)).unref()
    setTimeout(() => app.server.closeAllConnections(), left * END_WITHIN).unref()
  })
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
}

export default fp(connections, { name: 'connections', fastify: '5.x' })
