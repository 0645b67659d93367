import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AgentList } from '../../../../src/schemas/agent.ts'
import { ref } from '../../../../src/schemas/shared.ts'

/** /api/agent/agents: who may be asked. */
const agents: FastifyPluginAsyncTypebox = async (app) => {
  app.addSchema(AgentList)
  app.get('/api/agent/agents', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listAgents',
      summary: 'List agents',
      description:
        'The agents that you may ask, with their tools. A start names one in `agent`. Tools of MCP servers are not listed: the worker alone knows them.',
      tags: ['agents'],
      response: { 200: { ...ref(AgentList), description: 'The agents.' } },
    },
    handler: async ({ caller }) => ({ data: await app.services.agents.list(caller) }),
  })
}

export default agents
