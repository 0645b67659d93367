import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../../src/config/config.ts'
import { resetConnection } from '../../src/http/reset-connection.ts'
import { beforeRestOfBody, hasUnreadBody } from '../../src/http/rest-of-body.ts'

type Times = Pick<AppConfig, 'shutdownTimeoutSeconds' | 'shutdownDelaySeconds'>

/** Grace for a connection's first request: a busy process may have accepted the socket but not read from it yet. */
const FIRST_MS = 500
/** How long a request that had begun before the drain may take to arrive completely. */
const ARRIVAL_MS = 5_000
/** The shares of the time until the forced end in which requests have to arrive, and have to end. */
const ARRIVE_WITHIN = 0.25
const END_WITHIN = 0.6

/**
 * Ends the connections of an instance that drains: open requests get their answers, and no connection delays the end of
 * the process. Node closes idle connections, and every later answer asks its client to close. A connection that has
 * never carried a request is destroyed after half a second. A connection whose request has not arrived completely is
 * destroyed some seconds later, because no part of the request was accepted. Requests that are open after that have
 * most of the remaining time. The handover, the pool and the traces get the rest.
 */
const connections: FastifyPluginAsync<{ config: Times }> = async (app, { config }) => {
  const open = new Map<Socket, Set<ServerResponse>>()
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
    const answers = open.get(request.socket)
    answers?.add(response)
    response.once('close', () => answers?.delete(response))
  })

  function endStalled(): void {
    for (const [socket, answers] of open) {
      if (![...answers].some(({ req }) => req.complete)) socket.destroy()
    }
  }

  function cutOff(): void {
    for (const [socket, answers] of open) {
      if ([...answers].some(({ headersSent }) => headersSent)) resetConnection(socket)
      else socket.destroy()
    }
  }

  app.addHook('preClose', async () => {
    closing = true
    const left = (config.shutdownTimeoutSeconds - config.shutdownDelaySeconds) * 1000
    setTimeout(() => {
      for (const socket of unused) socket.destroy()
    }, FIRST_MS).unref()
    setTimeout(endStalled, Math.min(ARRIVAL_MS, left * ARRIVE_WITHIN)).unref()
    setTimeout(cutOff, left * END_WITHIN).unref()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    if (closing) reply.header('connection', 'close')
    const isText = typeof payload === 'string' || Buffer.isBuffer(payload)
    if (!isText || !hasUnreadBody(request.raw) || request.method === 'HEAD') return done()
    reply.header('content-length', Buffer.byteLength(payload))
    done(null, beforeRestOfBody(request.raw, payload))
  })
}

export default fp(connections, { name: 'connections', fastify: '5.x' })
