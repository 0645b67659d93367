import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { dropHistory, turnOf } from '../../../../src/http/history.ts'
import { startTurn, type TurnRoutes } from '../../../../src/http/start-turn.ts'
import { startedBody, startedHeaders } from '../../../../src/http/turn-options.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RunStarted } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS, TurnBody } from '../../../../src/schemas/turn.ts'

const start: FastifyPluginAsyncTypebox<TurnRoutes> = async (app, options) => {
  const start = startTurn(app, options)
  app.post('/api/agent/chat', {
    preValidation: async (request) => dropHistory(request.body),
    config: { scope: 'agent:write', bucket: 'handler' },
    schema: {
      operationId: 'startAgentChat',
      summary: 'Start a turn',
      description:
        'Accepts one message and answers at once, before the agent has begun. Then poll the run, stream it or cancel it with the `runId` of the answer; `Location` is the address to poll.',
      tags: ['chat'],
      headers: IdempotencyHeaders,
      body: ref(TurnBody),
      response: {
        202: { ...ref(RunStarted), description: 'The run was accepted.', headers: STARTED_HEADERS },
        ...problems(...TURN_PROBLEMS),
      },
    },
    handler: async (request, reply) => {
      const started = await start(request, turnOf(request.body))
      return reply.code(202).headers(startedHeaders(request, started)).send(startedBody(started))
    },
  })
}

export default start
