import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { gone } from '../../../../src/http/gone.ts'
import { startTurn } from '../../../../src/http/start-turn.ts'
import { sendStream } from '../../../../src/http/stream-answer.ts'
import { startedHeaders } from '../../../../src/http/turn-options.ts'
import { turnOf } from '../../../../src/http/ui-turn.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { STREAM_ANSWER, StreamBody, StreamQuery } from '../../../../src/schemas/stream.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS } from '../../../../src/schemas/turn.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

const DESCRIPTION = `The same durable run as that of a start, and its stream in one: made for \`useChat\` of the AI SDK with
\`new DefaultChatTransport({ api: '/api/agent/chat/stream' })\`. Closing the connection leaves the run going; the message
is answered again with the same stream when an \`Idempotency-Key\` is repeated.

Name the conversation in \`body: { conversationId }\` of the transport. A page that shall resume after a reload creates
the conversation first, uses its id as the id of the chat too, and says \`resume: true\`: the address that the transport
asks then exists here. A page that lets the first message create the conversation finds its id in the metadata of the
answer (\`message.metadata.conversationId\`) and sends it along with the next one, for example in
\`prepareSendMessagesRequest\`; without it every message begins a new conversation, seeded with the texts that the page
sends.

Pages with AI SDK 5 or 7 add \`?ui=5\` or \`?ui=7\` to the address, and return the one to reconnect to,
\`/api/agent/chat/stream/{id}/stream\` with the same query, from \`prepareReconnectToStreamRequest\`: older
transports put their path behind the query.`

const stream: FastifyPluginAsyncTypebox = async (app) => {
  const start = startTurn(app)
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
        ...problems(...TURN_PROBLEMS, 'regenerate_unsupported', 'run_not_found', 'stream_expired'),
      },
    },
    handler: async (request, reply) => {
      const turn = turnOf(request.body)
      app.streams.assertOpen()
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
        },
        gone(reply),
      )
      return sendStream(reply, viewer, started)
    },
  })
}

export default stream
