import type { FastifyPluginAsync } from 'fastify'
import { Action, ActionBody, ActionDecided } from '../../../../src/schemas/action.ts'
import answer from './answer.ts'
import list from './list.ts'

/** Tool calls that wait for somebody: /api/agent/actions lists them, and a run answers for its own. */
const actions: FastifyPluginAsync = async (app) => {
  for (const schema of [Action, ActionBody, ActionDecided]) app.addSchema(schema)
  for (const route of [list, answer]) app.register(route)
}

export default actions
