import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Action } from '../../../../src/schemas/action.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { oneOf, ref } from '../../../../src/schemas/shared.ts'

const list: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/actions', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listActions',
      summary: 'List what waits for an answer',
      description:
        'The tool calls of your runs that wait for your answer, newest first. Where the operator has set `APPROVERS=scope`, a token with the scope `agent:approve` sees those of all users. An agent without a model asks when it is told `Send Ada a note: lunch at one`.',
      tags: ['actions'],
      querystring: Type.Object(
        {
          ...PageQuery,
          status: Type.Optional(oneOf(['pending'], { description: 'Only those that wait are listed' })),
        },
        { additionalProperties: false },
      ),
      response: {
        200: pageOf(ref(Action), 'ActionPage', 'A page of actions.'),
        ...problems('invalid_cursor', 'database_unavailable'),
      },
    },
    handler: async (request) => {
      const { status: _pending, ...query } = request.query
      return app.services.actions.list(request.caller, query)
    },
  })
}

export default list
