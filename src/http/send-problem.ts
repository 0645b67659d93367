import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Problem } from '../errors.ts'
import { problemBody } from './problem-body.ts'
import { sentenceOf, wantsSentence } from './sentence.ts'

/**
 * Answers with `application/problem+json`, or with a plain sentence where a chat page wants one. The body is sent as
 * text, so that no response schema of a route can change it.
 */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  const { retryAfter, headers } = problem.details
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  reply
    .headers({ 'x-request-id': request.id, 'cache-control': 'no-store', ...headers })
    .code(problem.statusCode)
  if (wantsSentence(request)) return reply.type('text/plain; charset=utf-8').send(sentenceOf(problem))
  const body = problemBody(problem, request, request.server.publicPath)
  return reply.type('application/problem+json').send(JSON.stringify(body))
}
