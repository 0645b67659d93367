import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Message } from '../../../../src/schemas/conversation.ts'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { oneOf, ref } from '../../../../src/schemas/shared.ts'

const messages: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/conversations/:id/messages', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listMessages',
      summary: 'List the messages of a conversation',
      description:
        'In the order of the conversation, or newest first, without those that were superseded by a retry or an edit. Each has the form of a UIMessage of the AI SDK, so a chat page can begin with them. A run that failed has a message with its error.',
      tags: ['conversations'],
      params: ConversationParams,
      querystring: Type.Object(
        {
          ...PageQuery,
          order: oneOf(['asc', 'desc'], {
            default: 'asc',
            description: '`asc`: oldest first. `desc`: newest first, for pages that begin at the end',
          }),
          include: Type.Optional(
            oneOf(['superseded'], {
              description: 'Also the messages that have left the thread, in their places',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: pageOf(ref(Message), 'MessagePage', 'A page of messages.'),
        ...problems('invalid_cursor', 'conversation_not_found', 'database_unavailable'),
      },
    },
    handler: async (request) => app.services.messages.list(request.caller, request.params.id, request.query),
  })
}

export default messages
