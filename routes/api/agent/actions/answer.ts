import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { readAnswer } from '../../../../src/http/action-answer.ts'
import { ActionBody, ActionDecided, ActionParams } from '../../../../src/schemas/action.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const answer: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/agent/chat/:runId/actions/:actionId', {
    config: { scope: 'agent:write', bucket: 'start' },
    schema: {
      operationId: 'answerAction',
      summary: 'Answer a tool call that waits',
      description:
        'Agrees to a tool call, denies it, or brings the result of a tool that the caller executes. The answer to the last call of the turn starts its continuation: a new run at the place of the turn, whose answer extends the same message. The same answer again is 200; another one is 409, with what was decided.',
      tags: ['actions'],
      params: ActionParams,
      body: ref(ActionBody),
      response: {
        200: { ...ref(ActionDecided), description: 'The answer counts.' },
        ...problems(
          'invalid_request',
          'agent_unknown',
          'action_not_found',
          'action_decided',
          'database_unavailable',
        ),
      },
    },
    handler: async (request) =>
      app.services.actions.answer(request.caller, request.params, readAnswer(request.body), request.id),
  })
}

export default answer
