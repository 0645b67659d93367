import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { type Problem, problem } from '../../src/errors.ts'
import { refuseConnection } from '../../src/http/refuse-connection.ts'

/** What a `Host` header may hold (RFC 9110 §7.2): no list, no path, no user. */
const HOST = /^[^\s,/?#@\\]*$/

/**
 * Refuses, in the shape of all refusals, the requests that Node would otherwise answer in a shape of its own, and the
 * requests that Node accepts although a proxy in front may read them in another way.
 */
const protocol: FastifyPluginAsync = async (app) => {
  const { server } = app
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
  server.on('connect', (_request, socket: Socket) => {
    refuseConnection.call(app, Object.assign(new Error('CONNECT'), { code: 'HPE_INVALID_METHOD' }), socket)
  })
  app.addHook('onRequest', ({ raw }, _reply, done) => done(refusalOf(raw)))
}

function refusalOf(raw: IncomingMessage): Problem | undefined {
  const detail = ambiguity(raw)
  if (detail !== undefined) return malformed(detail)
  const { expect } = raw.headers
  return expect !== undefined && !/^100-continue$/i.test(expect) ? problem('expectation_failed') : undefined
}

/** Why a proxy and Node could read a request differently; undefined when both read the same request. */
function ambiguity({ httpVersion, headers, rawHeaders }: IncomingMessage): string | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return `HTTP/${httpVersion} is not spoken here.`
  const { host, 'transfer-encoding': encoding } = headers
  if (host === undefined && httpVersion === '1.1') return 'There is no `Host` header.'
  if (host !== undefined && !HOST.test(host)) return 'The `Host` header names no host.'
  if (isRepeated('host', rawHeaders)) return 'The `Host` header was sent more than once.'
  if (encoding === undefined) return undefined
  if (httpVersion === '1.0') return 'HTTP/1.0 knows no `Transfer-Encoding`.'
  return encoding.toLowerCase() === 'chunked'
    ? undefined
    : 'Bodies are read with `Transfer-Encoding: chunked` alone.'
}

/** Whether a header was sent twice; Node drops all `Host` headers but the first. */
function isRepeated(name: string, rawHeaders: string[]): boolean {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index]
    if (header?.length === name.length && header.toLowerCase() === name) count++
  }
  return count > 1
}

/** Ends the connection too, because a proxy may take the bytes that follow for another request. */
const malformed = (detail: string): Problem =>
  problem('malformed_http', { detail, headers: { connection: 'close' } })

export default fp(protocol, { name: 'protocol', fastify: '5.x', dependencies: ['errors'] })
