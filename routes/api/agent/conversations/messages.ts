import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Message } from '../../../../src/schemas/conversation.ts'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const messages: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/conversations/:id/messages', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listMessages',
      summary: 'List the messages of a conversation',
      description: 'In the order of the conversation, oldest first.',
      tags: ['conversations'],
      params: ConversationParams,
      querystring: Type.Object(PageQuery, { additionalProperties: false }),
      response: {
        200: pageOf(ref(Message), 'MessagePage', 'A page of messages.'),
        ...problems('invalid_cursor', 'conversation_not_found', 'database_unavailable'),
      },
    },
    handler: async (request) =>
      app.services.conversations.messages(request.caller, request.params.id, request.query),
  })
}

export default messages
