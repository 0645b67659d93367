import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Caller } from '../../../../src/caller.ts'
import { gone } from '../../../../src/http/gone.ts'
import { startTurn } from '../../../../src/http/start-turn.ts'
import { messageMetadata, sendStream } from '../../../../src/http/stream-answer.ts'
import { startedHeaders, turnOptions } from '../../../../src/http/turn-options.ts'
import { takeEarlier, type UiTurn, uiTurn } from '../../../../src/http/ui-turn.ts'
import { problems, withHeaders } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { SPINNER, STREAM_ANSWER, StreamBody, StreamQuery } from '../../../../src/schemas/stream.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS } from '../../../../src/schemas/turn.ts'
import type { TurnRequest } from '../../../../src/services/start/new-turn.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The messages of a stream's body before the last one, which nothing validates. */
    earlierMessages: unknown[] | undefined
  }
}

const DESCRIPTION = `Starts the same run as \`POST /api/agent/chat\` and sends its answer while it is written. Closing the connection
leaves the run going. ${SPINNER}

\`useChat\` of the AI SDK needs \`new DefaultChatTransport({ api: '/api/agent/chat/stream' })\` and nothing else. Pages with
AI SDK 5 or 7 add \`?ui=5\` or \`?ui=7\` to the address.

1. The first message creates a conversation. The metadata of the answer names it (\`message.metadata.conversationId\`).
2. The transport sends that metadata back with the next message, which goes on with the conversation.
   \`conversationId\` in the body names one explicitly and wins.
3. A page that is reloaded loads the messages of the conversation, passes its id as the \`id\` of the chat, and says
   \`resume: true\`: an answer that is being written goes on.

With \`?ui=\` in the address a refusal is a plain sentence, which \`useChat\` shows as \`error.message\`;
\`Accept: application/problem+json\` asks for the whole problem instead.`

const stream: FastifyPluginAsyncTypebox = async (app) => {
  const start = startTurn(app)
  app.decorateRequest('earlierMessages', undefined)
  app.post('/api/agent/chat/stream', {
    preValidation: async (request) => {
      request.earlierMessages = takeEarlier(request.body)
    },
    config: { scope: 'agent:write', bucket: 'handler' },
    schema: {
      operationId: 'streamAgentChat',
      summary: 'Start a turn and stream its answer',
      description: DESCRIPTION,
      tags: ['chat'],
      headers: IdempotencyHeaders,
      querystring: StreamQuery,
      body: ref(StreamBody),
      response: {
        200: { ...STREAM_ANSWER, headers: { ...STARTED_HEADERS, ...STREAM_ANSWER.headers } },
        ...problems(
          ...TURN_PROBLEMS,
          'conversation_changed',
          'edit_unsupported',
          'regenerate_unsupported',
          'run_not_found',
        ),
        // The run was started: its address is in the answer all the same.
        ...withHeaders(
          STARTED_HEADERS,
          problems(
            'stream_expired',
            'internal',
            'engine_unavailable',
            'database_unavailable',
            'shutting_down',
          ),
        ),
      },
    },
    handler: async (request, reply) => {
      const asked = uiTurn(request.body, request.earlierMessages ?? [])
      app.streams.assertOpen()
      const turn = await placed(request.caller, asked, turnOptions(request).idempotencyKey)
      const started = await start(request, turn)
      // The engine may still hold what its owner has deleted since.
      if (started.replayed) await app.services.runs.streamed(request.caller, started.runId)
      reply.headers(startedHeaders(request, started))
      const viewer = await app.streams.view(
        started.runId,
        {
          from: 0,
          ui: uiVersion(request.query.ui),
          expiresAt: request.tokenExpiresAt.getTime(),
          fresh: !started.replayed,
          metadata: messageMetadata(started),
        },
        gone(reply),
      )
      return sendStream(reply, viewer, started)
    },
  })

  /** The turn with its place: at the end of a conversation, or the beginning of a new one. */
  async function placed(caller: Caller, asked: UiTurn, idempotencyKey?: string): Promise<TurnRequest> {
    const { conversations } = app.services
    const { chatId, turn, page, history } = asked
    const isConversation = chatId !== undefined && asked.conversationId === undefined
    const conversationId =
      isConversation && (await conversations.exists(caller, chatId)) ? chatId : asked.conversationId
    if (conversationId === undefined) return { ...turn, history }
    await conversations.assertShown(caller, conversationId, page, idempotencyKey)
    return { ...turn, conversationId }
  }
}

export default stream
