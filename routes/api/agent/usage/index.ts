import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { Usage, UsageQuery } from '../../../../src/schemas/usage.ts'

/** /api/agent/usage: what the runs of the caller have used. */
const usage: FastifyPluginAsyncTypebox = async (app) => {
  app.addSchema(Usage)
  app.get('/api/agent/usage', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'reportAgentUsage',
      summary: 'Report usage',
      description:
        'What your runs have used, by the day (UTC) of their end: completed, failed and cancelled ones, also those of conversations that were deleted since. It adds up to the `usage` of the polls. Days are kept for 400 days; at most 366 are reported at once.',
      tags: ['usage'],
      querystring: UsageQuery,
      response: {
        200: { ...ref(Usage), description: 'The report.' },
        ...problems('database_unavailable'),
      },
    },
    handler: (request) => app.services.usage.report(request.caller, request.query),
  })
}

export default usage
