import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Conversation } from '../../../../src/schemas/conversation.ts'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const get: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/conversations/:id', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'getConversation',
      summary: 'Get a conversation',
      description: 'Its title, its metadata, and `activeRunId` while a run of it is unfinished.',
      tags: ['conversations'],
      params: ConversationParams,
      response: {
        200: { ...ref(Conversation), description: 'The conversation.' },
        ...problems('conversation_not_found', 'database_unavailable'),
      },
    },
    handler: async (request) => app.services.conversations.get(request.caller, request.params.id),
  })
}

export default get
