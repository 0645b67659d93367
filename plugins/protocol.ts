import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { problem } from '../src/errors.ts'
import { refuseConnection } from '../src/http/refuse-connection.ts'

/** Refuses in the one shape of all refusals what Node, left to itself, would answer in shapes of its own. */
const protocol: FastifyPluginAsync = async (app) => {
  const { server } = app
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
  server.on('connect', (_request, socket: Socket) => {
    refuseConnection.call(app, Object.assign(new Error('CONNECT'), { code: 'HPE_INVALID_METHOD' }), socket)
  })
  app.addHook('onRequest', async ({ raw }) => {
    const { expect, host } = raw.headers
    if (host === undefined && raw.httpVersion === '1.1')
      throw problem('malformed_http', { detail: 'There is no `Host` header.' })
    if (expect !== undefined && !/^100-continue$/i.test(expect)) throw problem('expectation_failed')
  })
}

export default fp(protocol, { name: 'protocol', fastify: '5.x', dependencies: ['errors'] })
