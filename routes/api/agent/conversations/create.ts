import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Conversation, Title } from '../../../../src/schemas/conversation.ts'
import { Metadata } from '../../../../src/schemas/metadata.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { leftOutOrNull, ref } from '../../../../src/schemas/shared.ts'

const create: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/agent/conversations', {
    config: { scope: 'agent:write', bucket: 'read' },
    schema: {
      operationId: 'createConversation',
      summary: 'Create a conversation',
      description:
        'For clients that need the id before the first message. Otherwise leave it to the first start, which creates a conversation when none is named.',
      tags: ['conversations'],
      body: Type.Object(
        { title: leftOutOrNull(Title), metadata: leftOutOrNull(Metadata) },
        { additionalProperties: false, examples: [{ title: 'Arithmetic' }] },
      ),
      response: {
        201: {
          ...ref(Conversation),
          description: 'The conversation.',
          headers: { Location: { type: 'string', description: 'Address of the conversation' } },
        },
        ...problems('database_unavailable'),
      },
    },
    handler: async (request, reply) => {
      const conversation = await app.services.conversations.create(request.caller, request.body)
      return reply
        .code(201)
        .header('location', `${app.publicPath}/api/agent/conversations/${conversation.id}`)
        .send(conversation)
    },
  })
}

export default create
