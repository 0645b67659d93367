import type { FastifyPluginAsync } from 'fastify'
import { Delivery } from '../../../../src/schemas/delivery.ts'
import list from './list.ts'
import redeliver from './redeliver.ts'

/** /api/agent/webhook-deliveries: what was sent to the receivers of webhooks, and what is still to be sent. */
const deliveries: FastifyPluginAsync = async (app) => {
  app.addSchema(Delivery)
  for (const route of [list, redeliver]) app.register(route)
}

export default deliveries
