import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { AgentName } from '../../../../src/schemas/agent.ts'
import { Conversation } from '../../../../src/schemas/conversation.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const list: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/conversations', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listConversations',
      summary: 'List conversations',
      description: 'Your conversations, newest activity first; with `agent` those of one agent.',
      tags: ['conversations'],
      querystring: Type.Object(
        { ...PageQuery, agent: Type.Optional(AgentName) },
        { additionalProperties: false },
      ),
      response: {
        200: pageOf(ref(Conversation), 'ConversationPage', 'A page of conversations.'),
        ...problems('invalid_cursor', 'database_unavailable'),
      },
    },
    handler: async (request) => app.services.conversations.list(request.caller, request.query),
  })
}

export default list
