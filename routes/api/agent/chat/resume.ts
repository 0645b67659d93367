import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { gone } from '../../../../src/http/gone.ts'
import { sendStream } from '../../../../src/http/stream-answer.ts'
import { StreamParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ResumeQuery, SPINNER, STREAM_ANSWER } from '../../../../src/schemas/stream.ts'
import { firstFrame } from '../../../../src/streams/cursor.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

const DESCRIPTION = `Sends the stream of a run from its first frame on, or goes on where a connection was lost:

1. Remember the \`id\` of the last frame that you received.
2. Ask again with that id in \`Last-Event-ID\`: the stream goes on with the next frame.

This works while the run goes on, and afterwards for as long as the engine keeps its stream. After that the answer is
410; poll the run.

${SPINNER}`

/** The second address is the one that the AI SDK's `DefaultChatTransport` builds when it reconnects. */
const ADDRESSES = [
  {
    url: '/api/agent/chat/:id/stream',
    operationId: 'resumeAgentChatStream',
    summary: 'Join or resume a stream',
    description: DESCRIPTION,
  },
  {
    url: '/api/agent/chat/stream/:id/stream',
    operationId: 'reconnectAgentChatStream',
    summary: 'Join or resume a stream (address of the AI SDK)',
    description: `The same as \`GET /api/agent/chat/{id}/stream\`, under the address that the \`DefaultChatTransport\` of the AI SDK builds.\n\n${SPINNER}`,
  },
]

const resume: FastifyPluginAsyncTypebox = async (app) => {
  for (const { url, ...names } of ADDRESSES) {
    app.get(url, {
      config: { scope: 'agent:read', bucket: 'read' },
      exposeHeadRoute: false,
      schema: {
        ...names,
        tags: ['chat'],
        params: StreamParams,
        querystring: ResumeQuery,
        headers: Type.Object({
          'last-event-id': Type.Optional(
            Type.String({
              description:
                'Id of the last frame that you received: the stream goes on with the next one. Leave it out for the whole stream',
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
