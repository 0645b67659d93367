import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Problem } from '../../../../src/errors.ts'
import { connectionClosed } from '../../../../src/http/connection-closed.ts'
import { messageMetadata, sendStream } from '../../../../src/http/stream-answer.ts'
import { ChatParams, isStreamId, StreamParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ResumeQuery, SPINNER, STREAM_ANSWER } from '../../../../src/schemas/stream.ts'
import { firstFrame } from '../../../../src/streams/stream-position.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

const DESCRIPTION = `Sends the stream of a run from its first frame on, or goes on where a connection was lost:

1. Remember the \`id\` of the last frame that you received.
2. Ask again with that id in \`Last-Event-ID\`: the stream goes on with the next frame.

This works while the run goes on, and afterwards for as long as the engine keeps its stream. After that the answer is
410; poll the run.

${SPINNER}`

const CHAT_DESCRIPTION = `The address that \`useChat\` of the AI SDK asks with \`resume: true\`. It answers like
\`GET /api/agent/chat/{id}/stream\`, but for a chat that is no conversation of yours: such a chat has nothing to resume,
which is 204.

${SPINNER}`

/** The second address is the one that the AI SDK's `DefaultChatTransport` builds when it reconnects. */
const ADDRESSES = [
  {
    url: '/api/agent/chat/:id/stream',
    operationId: 'resumeAgentChatStream',
    summary: 'Join or resume a stream',
    description: DESCRIPTION,
    params: StreamParams,
    ofChat: false,
  },
  {
    url: '/api/agent/chat/stream/:id/stream',
    operationId: 'reconnectAgentChatStream',
    summary: 'Reconnect a chat page to its stream',
    description: CHAT_DESCRIPTION,
    params: ChatParams,
    ofChat: true,
  },
]

const resume: FastifyPluginAsyncTypebox = async (app) => {
  for (const { url, params, ofChat, ...names } of ADDRESSES) {
    app.get(url, {
      config: { scope: 'agent:read', bucket: 'read' },
      exposeHeadRoute: false,
      schema: {
        ...names,
        tags: ['chat'],
        params,
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
            description: ofChat
              ? 'The chat has no unfinished run, or is no conversation of yours.'
              : 'The conversation has no unfinished run.',
          }),
          ...problems(
            'invalid_stream_position',
            'run_not_found',
            ...(ofChat ? [] : (['conversation_not_found'] as const)),
            'stream_expired',
            'too_many_streams',
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
          {
            ...{ from, expiresAt, userId: request.caller.userId },
            ui: uiVersion(ui),
            fresh: false,
            metadata: messageMetadata(run),
          },
          connectionClosed(reply),
        )
        return sendStream(reply, viewer, run)
      },
    })
  }
}

export default resume
