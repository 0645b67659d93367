import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

/**
 * Lets no connection delay the end by its keep-alive time. When it closes, Node ends those that are idle; what
 * answers later is asked to close here, and what never carried a request, opened in advance by a browser or a
 * client, is destroyed.
 */
const connections: FastifyPluginAsync = async (app) => {
  const unused = new Set<Socket>()
  let closing = false
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  app.server.on('request', ({ socket }) => unused.delete(socket))
  app.addHook('preClose', async () => {
    closing = true
    for (const socket of unused) socket.destroy()
  })
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
}

export default fp(connections, { name: 'connections', fastify: '5.x' })
