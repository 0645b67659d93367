import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'

const remove: FastifyPluginAsyncTypebox = async (app) => {
  app.delete('/api/agent/conversations/:id', {
    config: { scope: 'agent:write', bucket: 'read' },
    schema: {
      operationId: 'deleteConversation',
      summary: 'Delete a conversation',
      description:
        'Removes the conversation, its messages and the contents of its runs, and cancels its unfinished runs. This cannot be undone.',
      tags: ['conversations'],
      params: ConversationParams,
      response: {
        204: Type.Null({ description: 'The conversation is deleted.' }),
        ...problems('conversation_not_found', 'database_unavailable'),
      },
    },
    handler: async (request, reply) => {
      await app.services.conversations.remove(request.caller, request.params.id)
      return reply.code(204).send(null)
    },
  })
}

export default remove
