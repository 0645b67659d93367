import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { DELIVERY_STATUSES, Delivery } from '../../../../src/schemas/delivery.ts'
import { RunId } from '../../../../src/schemas/ids.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { oneOf, ref } from '../../../../src/schemas/shared.ts'

const list: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/webhook-deliveries', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listWebhookDeliveries',
      summary: 'List webhook deliveries',
      description:
        'What was sent to the receivers of webhooks about your runs and conversations, and what is still to be sent, newest first. A token with the scope `agent:admin` sees the deliveries of all users.',
      tags: ['webhooks'],
      querystring: Type.Object(
        {
          ...PageQuery,
          runId: Type.Optional(RunId),
          status: Type.Optional(oneOf(DELIVERY_STATUSES, { description: 'Deliveries with this status' })),
        },
        { additionalProperties: false },
      ),
      response: {
        200: pageOf(ref(Delivery), 'WebhookDeliveryPage', 'A page of deliveries.'),
        ...problems('invalid_cursor', 'database_unavailable'),
      },
    },
    handler: async (request) => app.services.deliveries.list(request.caller, request.query),
  })
}

export default list
