import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Problem, problem } from '../../src/errors.ts'
import { sendProblem } from '../../src/http/send-problem.ts'
import { toProblem } from '../../src/http/to-problem.ts'
import { ProblemSchema } from '../../src/schemas/problem.ts'

const errors: FastifyPluginAsync = async (app) => {
  app.addSchema(ProblemSchema)
  app.setErrorHandler((error, request, reply) => refuse(error, request, reply))
  // A hook refuses addresses that no route has. This handler answers for routes that find nothing, such as a file.
  app.setNotFoundHandler((request, reply) => sendProblem(request, reply, problem('not_found')))
}

/** Answers every error that a hook or a handler has thrown. */
function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const refusal = toProblem(error)
  logRefusal(refusal, request)
  return sendProblem(request, reply, refusal)
}

/** Logs a 5xx with its cause, and any other refusal only if it has a cause that the answer does not tell. */
function logRefusal({ code, statusCode, message, cause }: Problem, { log }: FastifyRequest): void {
  if (statusCode === 500) log.error({ code, err: cause }, message)
  else if (statusCode > 500) log.warn({ code, err: cause }, message)
  else if (cause !== undefined) log.info({ code, reason: reasonOf(cause) }, message)
}

const reasonOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

export default fp(errors, { name: 'errors', fastify: '5.x' })
