import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { decodePosition } from '../../../../src/feed/position.ts'
import { sendEvents } from '../../../../src/http/stream-answer.ts'
import { FEED_ANSWER, FEED_DESCRIPTION, FeedHeaders, FeedQuery } from '../../../../src/schemas/feed.ts'
import { problems } from '../../../../src/schemas/problem.ts'

/** /api/agent/events: what happens to the caller's runs and conversations. */
const events: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/events', {
    config: { scope: 'agent:read', bucket: 'read' },
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchEvents',
      summary: 'Watch all your conversations',
      description: `Tells what happens to your runs and conversations, whichever client has started it. ${FEED_DESCRIPTION}`,
      tags: ['events'],
      querystring: FeedQuery,
      headers: FeedHeaders,
      response: {
        200: FEED_ANSWER,
        ...problems(
          'invalid_stream_position',
          'feed_expired',
          'too_many_streams',
          'database_unavailable',
          'shutting_down',
        ),
      },
    },
    handler: async (request, reply) => {
      const last = request.headers['last-event-id']
      const viewer = await app.feed.view(
        {
          userId: request.caller.userId,
          expiresAt: request.tokenExpiresAt.getTime(),
          seconds: request.query.seconds,
        },
        last === undefined ? undefined : decodePosition(last),
      )
      return sendEvents(reply, viewer)
    },
  })
}

export default events
