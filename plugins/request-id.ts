import type { IncomingMessage } from 'node:http'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { v7 as uuid } from 'uuid'
import { described } from '../src/http/request-log.ts'

const ACCEPTED = /^[\w.-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless, else a new one: it goes into every answer and log line. */
export function requestIdOf(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id']
  return typeof given === 'string' && ACCEPTED.test(given) ? given : uuid()
}

/** Echoes the request id, and logs who left before the answer: such requests never complete. */
const requestId: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    // Not `onRequestAbort`: that one never comes for a GET, whose request is over before its answer.
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) request.log.info(described(request), 'the client went away')
    })
  })
}

export default fp(requestId, { name: 'request-id', fastify: '5.x' })
