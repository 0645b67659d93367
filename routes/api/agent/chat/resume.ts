import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Problem } from '../../../../src/errors.ts'
import { gone } from '../../../../src/http/gone.ts'
import { messageMetadata, sendStream } from '../../../../src/http/stream-answer.ts'
import { ChatParams, isStreamId, StreamParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ResumeQuery, STREAM_ANSWER } from '../../../../src/schemas/stream.ts'
import { firstFrame } from '../../../../src/streams/stream-position.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

const DESCRIPTION =
  'The stream of a run, or of the newest unfinished run of a conversation, from its first frame or after the last one received. Works while the run goes on and for as long as the engine keeps its stream; after that the poll has the answer.'

/** The second address is the one that the AI SDK's `DefaultChatTransport` builds when it reconnects. */
const ADDRESSES = [
  {
    url: '/api/agent/chat/:id/stream',
    operationId: 'resumeAgentChatStream',
    description: DESCRIPTION,
    params: StreamParams,
    ofChat: false,
  },
  {
    url: '/api/agent/chat/stream/:id/stream',
    operationId: 'reconnectAgentChatStream',
    description: `${DESCRIPTION} This is the address that \`useChat\` of the AI SDK asks with \`resume: true\`: a chat that is no conversation of yours has nothing to resume, which is 204.`,
    params: ChatParams,
    ofChat: true,
  },
]

const resume: FastifyPluginAsyncTypebox = async (app) => {
  for (const { url, operationId, description, params, ofChat } of ADDRESSES) {
    app.get(url, {
      config: { scope: 'agent:read', bucket: 'read' },
      exposeHeadRoute: false,
      schema: {
        operationId,
        summary: ofChat ? 'Reconnect a chat page to its stream' : 'Resume a stream',
        description,
        tags: ['chat'],
        params,
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
            description: ofChat
              ? 'The chat has no unfinished run, or is no conversation of yours.'
              : 'The conversation has no unfinished run.',
          }),
          ...problems(
            'invalid_stream_position',
            'run_not_found',
            ...(ofChat ? [] : (['conversation_not_found'] as const)),
            'stream_expired',
            'engine_unavailable',
            'database_unavailable',
          ),
        },
      },
      handler: async (request, reply) => {
        const { ui, startIndex } = request.query
        const from = firstFrame(request.headers['last-event-id'], startIndex)
        const { id } = request.params
        if (ofChat && !isStreamId(id)) return reply.code(204).send()
        const run = await app.services.runs.streamed(request.caller, id).catch((error: unknown) => {
          const isNoConversation = error instanceof Problem && error.code === 'conversation_not_found'
          if (ofChat && isNoConversation) return undefined
          throw error
        })
        if (run === undefined) return reply.code(204).send()
        const expiresAt = request.tokenExpiresAt.getTime()
        const viewer = await app.streams.view(
          run.runId,
          { from, ui: uiVersion(ui), expiresAt, fresh: false, metadata: messageMetadata(run) },
          gone(reply),
        )
        return sendStream(reply, viewer, run)
      },
    })
  }
}

export default resume
