import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Delivery, DeliveryParams } from '../../../../src/schemas/delivery.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const redeliver: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/agent/webhook-deliveries/:id/redeliver', {
    config: { scope: 'agent:write', bucket: 'start' },
    schema: {
      operationId: 'redeliverWebhook',
      summary: 'Send a webhook again',
      description:
        'Sends a delivery at once, under the same `webhook-id` and with all its attempts, whether it is pending, delivered or failed. An endpoint that is switched off is tried all the same; when it accepts, it is switched on again. A delivery that is being sent at this moment is left alone.',
      tags: ['webhooks'],
      params: DeliveryParams,
      response: {
        202: { ...ref(Delivery), description: 'The delivery is sent now.' },
        ...problems('delivery_not_found', 'database_unavailable'),
      },
    },
    handler: async (request, reply) =>
      reply.code(202).send(await app.services.deliveries.redeliver(request.caller, request.params.id)),
  })
}

export default redeliver
