import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { startTurn, type TurnRoutes } from '../../../../src/http/start-turn.ts'
import { startedBody, startedHeaders } from '../../../../src/http/turn-options.ts'
import { RunParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RetryBody } from '../../../../src/schemas/retry.ts'
import { RunStarted } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS } from '../../../../src/schemas/turn.ts'

const retry: FastifyPluginAsyncTypebox<TurnRoutes> = async (app, options) => {
  const start = startTurn(app, options)
  app.post('/api/agent/chat/:runId/retry', {
    preValidation: async (request) => {
      request.body ??= {}
    },
    config: { scope: 'agent:write', bucket: 'handler' },
    schema: {
      operationId: 'retryAgentChat',
      summary: 'Answer the last question again',
      description:
        'Runs the last turn of a conversation again: a new run answers the same question, and its answer takes the place of the old one. The old run stays readable; its `supersededBy` names the new run, whose `retryOf` names the old one. It does not matter how the old run has ended. An unfinished one is cancelled with `ifBusy: "interrupt"`, and is 409 otherwise.',
      tags: ['chat'],
      params: RunParams,
      headers: IdempotencyHeaders,
      body: ref(RetryBody),
      response: {
        202: { ...ref(RunStarted), description: 'The new run was accepted.', headers: STARTED_HEADERS },
        ...problems(
          'run_not_found',
          'turn_not_last',
          ...TURN_PROBLEMS.filter((code) => code !== 'conversation_not_found'),
        ),
      },
    },
    handler: async (request, reply) => {
      const started = await start(request, { ...request.body, retryOf: request.params.runId })
      return reply.code(202).headers(startedHeaders(request, started)).send(startedBody(started))
    },
  })
}

export default retry
