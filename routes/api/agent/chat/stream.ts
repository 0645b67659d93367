import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { gone } from '../../../../src/http/gone.ts'
import { sendStream } from '../../../../src/http/stream-answer.ts'
import { startedHeaders, turnOptions } from '../../../../src/http/turn-options.ts'
import { turnOf } from '../../../../src/http/ui-turn.ts'
import { problems, withHeaders } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { SPINNER, STREAM_ANSWER, StreamBody, StreamQuery } from '../../../../src/schemas/stream.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS } from '../../../../src/schemas/turn.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

const DESCRIPTION = `Starts the same run as \`POST /api/agent/chat\` and sends its answer while it is written. Closing the connection
leaves the run going. ${SPINNER}

For \`useChat\` of the AI SDK, with answers that go on after a reload of the page:

1. Create a conversation: \`POST /api/agent/conversations\` with \`{}\`.
2. Use its id as the id of the chat, and name it in the body of every message:
   \`useChat({ id, resume: true, transport: new DefaultChatTransport({ api: '/api/agent/chat/stream', body: { conversationId: id } }) })\`
3. With AI SDK 5 or 7, add \`?ui=5\` or \`?ui=7\` to the address, and return
   \`/api/agent/chat/stream/{id}/stream\` with the same query from \`prepareReconnectToStreamRequest\`.

Without a \`conversationId\` every request begins a new conversation with the texts that the page sends. The id of the
conversation is in the metadata of the answer (\`message.metadata.conversationId\`): send it with the next message.`

const stream: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/agent/chat/stream', {
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
        ...problems(...TURN_PROBLEMS, 'regenerate_unsupported', 'run_not_found'),
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
      const turn = turnOf(request.body)
      app.streams.assertOpen()
      const started = await app.services.turns.start(request.caller, turn, turnOptions(request))
      // The engine may still hold what its owner has deleted since.
      if (started.replayed) await app.services.runs.streamed(request.caller, started.runId)
      reply.headers(startedHeaders(started))
      const viewer = await app.streams.view(
        started.runId,
        {
          from: 0,
          ui: uiVersion(request.query.ui),
          expiresAt: request.tokenExpiresAt.getTime(),
          fresh: !started.replayed,
        },
        gone(reply),
      )
      return sendStream(reply, viewer, started)
    },
  })
}

export default stream
