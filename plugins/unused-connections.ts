import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

/**
 * Browsers and HTTP clients open connections in advance. One that has not carried a request yet is not idle to
 * Node, which would wait a minute for it at the end.
 */
const unusedConnections: FastifyPluginAsync = async (app) => {
  const unused = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  app.server.on('request', ({ socket }) => unused.delete(socket))
  app.addHook('preClose', async () => {
    for (const socket of unused) socket.destroy()
  })
}

export default fp(unusedConnections, { name: 'unused-connections', fastify: '5.x' })
