import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { gone } from '../../../../src/http/gone.ts'
import { sendStream } from '../../../../src/http/stream-answer.ts'
import { StreamParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ResumeQuery, STREAM_ANSWER } from '../../../../src/schemas/stream.ts'
import { firstFrame } from '../../../../src/streams/stream-position.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

/** The second address is the one that the AI SDK's `DefaultChatTransport` builds when it reconnects. */
const ADDRESSES = [
  { url: '/api/agent/chat/:id/stream', operationId: 'resumeAgentChatStream' },
  { url: '/api/agent/chat/stream/:id/stream', operationId: 'reconnectAgentChatStream' },
]

const resume: FastifyPluginAsyncTypebox = async (app) => {
  for (const { url, operationId } of ADDRESSES) {
    app.get(url, {
      config: { scope: 'agent:read', bucket: 'read' },
      exposeHeadRoute: false,
      schema: {
        operationId,
        summary: 'Resume a stream',
        description:
          'The stream of a run, or of the newest unfinished run of a conversation, from its first frame or after the last one received. Works while the run goes on and for as long as the engine keeps its stream; after that the poll has the answer.',
        tags: ['chat'],
        params: StreamParams,
        querystring: ResumeQuery,
        headers: Type.Object({
          'last-event-id': Type.Optional(
            Type.String({
              description: 'Id of the last frame received: the stream goes on with the next one',
            }),
          ),
        }),
        response: {
          200: STREAM_ANSWER,
          204: Type.Unsafe<undefined>({
            type: 'null',
            description: 'The conversation has no unfinished run.',
          }),
          ...problems(
            'invalid_stream_position',
            'run_not_found',
            'conversation_not_found',
            'stream_expired',
            'engine_unavailable',
            'database_unavailable',
          ),
        },
      },
      handler: async (request, reply) => {
        const { ui, startIndex } = request.query
        const from = firstFrame(request.headers['last-event-id'], startIndex)
        const run = await app.services.runs.streamed(request.caller, request.params.id)
        if (run === undefined) return reply.code(204).send()
        const expiresAt = request.tokenExpiresAt.getTime()
        const viewer = await app.streams.view(
          run.runId,
          { from, ui: uiVersion(ui), expiresAt, fresh: false },
          gone(reply),
        )
        return sendStream(reply, viewer, run)
      },
    })
  }
}

export default resume
