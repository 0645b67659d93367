import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Problem } from '../errors.ts'
import { problemBody } from './problem-body.ts'

/**
 * Answers with `application/problem+json`. The body is sent as text, so that no response schema of a route can
 * change it.
 */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  const { retryAfter, headers } = problem.details
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  return reply
    .headers({ 'x-request-id': request.id, 'cache-control': 'no-store', ...headers })
    .code(problem.statusCode)
    .type('application/problem+json')
    .send(JSON.stringify(problemBody(problem, request, request.server.publicPath)))
}
