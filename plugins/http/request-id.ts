import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { described, levelOf } from '../../src/http/request-log.ts'

const ACCEPTED = /^[\w.-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless, else a new one: it goes into every answer and log line. */
export function requestIdOf(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id']
  return typeof given === 'string' && ACCEPTED.test(given) ? given : randomUUID()
}

/** Echoes the request id, and logs answers that broke off, because Fastify never reports such requests as complete. */
const requestId: FastifyPluginAsync = async (app) => {
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
  })
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    // Fastify never calls the hook `onRequestAbort` for a GET, because its request has ended before its answer.
    reply.raw.once('close', () => {
      if (reply.raw.writableFinished) return
      const why = closing ? 'cut by the drain' : 'the client went away'
      request.log[levelOf(request)](described(request, reply), why)
    })
    done()
  })
}

export default fp(requestId, { name: 'request-id', fastify: '5.x' })
