import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Problem, problem } from '../../src/errors.ts'
import { isWellFormed, targetPath } from '../../src/http/target.ts'

/**
 * Refuses requests for addresses that do not exist, before a token is asked for, a limit is charged or a body is
 * read. `/api/agent/chat/` is no address either, though the router takes it for a run with an empty id. This plugin has
 * to be registered before every plugin that reads the route.
 */
const addresses: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', (request, _reply, done) => done(refusalOf(request)))
}

function refusalOf({ is404, originalUrl, params }: FastifyRequest): Problem | undefined {
  if (is404) return isWellFormed(targetPath(originalUrl)) ? problem('not_found') : malformed()
  for (const name in params as Record<string, string>) {
    if ((params as Record<string, string>)[name] === '' && name !== '*') return problem('not_found')
  }
  return undefined
}

const malformed = () =>
  problem('invalid_request', {
    detail: 'The address is not well-formed.',
    members: { errors: [{ in: 'path', path: '', message: 'must be a well-formed, percent-encoded path' }] },
  })

export default fp(addresses, { name: 'addresses', fastify: '5.x', dependencies: ['errors'] })
