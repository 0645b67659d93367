import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { describeRun } from '../../../../src/http/run-answer.ts'
import { RunParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RUN_HEADERS, Run } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const cancel: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/agent/chat/:runId/cancel', {
    config: { scope: 'agent:write', bucket: 'read' },
    schema: {
      operationId: 'cancelAgentChat',
      summary: 'Cancel a run',
      description:
        'Stops a queued or running run and keeps the part of the answer that was written. The request needs no body and may be repeated. A run that has ended is returned unchanged.',
      tags: ['chat'],
      params: RunParams,
      response: {
        200: {
          ...ref(Run),
          description:
            'The run once it has ended. A run that has not ended after 3 seconds is returned as it is, with `cancelRequestedAt`.',
          headers: RUN_HEADERS,
        },
        ...problems('run_not_found', 'engine_refused', 'engine_unavailable', 'database_unavailable'),
      },
    },
    handler: async (request, reply) => {
      const run = await app.services.runs.cancel(request.caller, request.params.runId)
      return describeRun(reply, run).send(run)
    },
  })
}

export default cancel
