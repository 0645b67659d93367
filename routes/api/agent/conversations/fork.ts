import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Conversation } from '../../../../src/schemas/conversation.ts'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ForkBody } from '../../../../src/schemas/retry.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const fork: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/agent/conversations/:id/fork', {
    preValidation: async (request) => {
      request.body ??= {}
    },
    config: { scope: 'agent:write', bucket: 'read' },
    schema: {
      operationId: 'forkConversation',
      summary: 'Fork a conversation',
      description:
        'Copies a conversation, or its beginning up to and with a message, into a new conversation of yours, with its title and its metadata: 1,000 messages at most. The copies have new ids and belong to no run; the next start goes on from there.',
      tags: ['conversations'],
      params: ConversationParams,
      body: ForkBody,
      response: {
        201: {
          ...ref(Conversation),
          description: 'The new conversation.',
          headers: { Location: { type: 'string', description: 'Address of the conversation' } },
        },
        ...problems(
          'agent_unknown',
          'conversation_not_found',
          'message_not_found',
          'conversation_busy',
          'conversation_too_long',
          'database_unavailable',
        ),
      },
    },
    handler: async (request, reply) => {
      const { params, body } = request
      const forked = await app.services.conversations.fork(request.caller, params.id, body.throughMessageId)
      return reply
        .code(201)
        .header('location', `${app.publicPath}/api/agent/conversations/${forked.id}`)
        .send(forked)
    },
  })
}

export default fork
