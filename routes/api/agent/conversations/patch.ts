import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Conversation, Title } from '../../../../src/schemas/conversation.ts'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { MetadataPatch } from '../../../../src/schemas/metadata.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const patch: FastifyPluginAsyncTypebox = async (app) => {
  app.patch('/api/agent/conversations/:id', {
    config: { scope: 'agent:write', bucket: 'read' },
    schema: {
      operationId: 'patchConversation',
      summary: 'Change a conversation',
      description:
        'A JSON merge patch (RFC 7396) of title and metadata: fields that are left out stay as they are.',
      tags: ['conversations'],
      consumes: ['application/merge-patch+json', 'application/json'],
      params: ConversationParams,
      body: Type.Object(
        { title: Type.Optional(Title), metadata: Type.Optional(MetadataPatch) },
        {
          additionalProperties: false,
          examples: [{ title: 'Mental arithmetic', metadata: { ticket: 'T-1042' } }],
        },
      ),
      response: {
        200: { ...ref(Conversation), description: 'The conversation as it is now.' },
        ...problems('conversation_not_found', 'database_unavailable'),
      },
    },
    handler: async (request) =>
      app.services.conversations.patch(request.caller, request.params.id, request.body),
  })
}

export default patch
