import type { IncomingMessage } from 'node:http'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { v7 as uuid } from 'uuid'

const ACCEPTED = /^[\w.-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless, else a new one: it goes into every answer and log line. */
export function requestIdOf(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id']
  return typeof given === 'string' && ACCEPTED.test(given) ? given : uuid()
}

/** Echoes the request id and writes one log line per request, also when the client left before the answer. */
const requestId: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  app.addHook('onResponse', async (request, reply) => {
    request.log.info(line(request, reply), 'answered')
  })
  app.addHook('onRequestAbort', async (request) => {
    request.log.info(line(request), 'the client went away')
  })
}

/** No query and no headers: both may carry what does not belong into a log. */
function line(request: FastifyRequest, reply?: FastifyReply) {
  return {
    method: request.method,
    path: request.url.split('?', 1)[0],
    ...(reply === undefined ? {} : { status: reply.statusCode, ms: Math.round(reply.elapsedTime) }),
  }
}

export default fp(requestId, { name: 'request-id', fastify: '5.x' })
