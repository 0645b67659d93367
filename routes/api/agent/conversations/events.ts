import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { decodePosition } from '../../../../src/feed/position.ts'
import { sendEvents } from '../../../../src/http/stream-answer.ts'
import { FEED_ANSWER, FEED_DESCRIPTION, FeedHeaders, FeedQuery } from '../../../../src/schemas/feed.ts'
import { ConversationParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'

const events: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/conversations/:id/events', {
    config: { scope: 'agent:read', bucket: 'read' },
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchConversation',
      summary: 'Watch a conversation',
      description: `Tells what happens in a conversation, whichever client has started it, and ends after \`conversation.deleted\`. ${FEED_DESCRIPTION}`,
      tags: ['conversations'],
      params: ConversationParams,
      querystring: FeedQuery,
      headers: FeedHeaders,
      response: {
        200: FEED_ANSWER,
        ...problems(
          'invalid_stream_position',
          'conversation_not_found',
          'feed_expired',
          'too_many_streams',
          'database_unavailable',
          'shutting_down',
        ),
      },
    },
    handler: async (request, reply) => {
      const last = request.headers['last-event-id']
      const from = last === undefined ? undefined : decodePosition(last)
      const { id } = await app.services.conversations.get(request.caller, request.params.id)
      const { userId } = request.caller
      const { seconds } = request.query
      const expiresAt = request.tokenExpiresAt.getTime()
      const viewer = await app.feed.view({ userId, conversationId: id, expiresAt, seconds }, from)
      return sendEvents(reply, viewer)
    },
  })
}

export default events
