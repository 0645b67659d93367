import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../../../../src/caller.ts'
import { problem } from '../../../../src/errors.ts'
import { connectionClosed } from '../../../../src/http/connection-closed.ts'
import { startTurn, type TurnRoutes } from '../../../../src/http/start-turn.ts'
import { messageMetadata, sendNothing, sendStream } from '../../../../src/http/stream-answer.ts'
import { startedHeaders, turnOptions } from '../../../../src/http/turn-options.ts'
import { type UiAnswer, uiAnswer } from '../../../../src/http/ui-answer.ts'
import { conversationNamed, takeEarlier, type UiTurn, uiTurn } from '../../../../src/http/ui-turn.ts'
import { problems, withHeaders } from '../../../../src/schemas/problem.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { SPINNER, STREAM_ANSWER, StreamBody, StreamQuery } from '../../../../src/schemas/stream.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS } from '../../../../src/schemas/turn.ts'
import type { TurnRequest } from '../../../../src/services/start/new-turn.ts'
import { uiVersion } from '../../../../src/streams/vocabulary.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The messages of a stream's body before the last one. They are not validated. */
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

const stream: FastifyPluginAsyncTypebox<TurnRoutes> = async (app, options) => {
  const start = startTurn(app, options)
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
          'turn_not_last',
          'edit_unsupported',
          'regenerate_unsupported',
          'run_not_found',
          'action_not_found',
          'action_decided',
          'too_many_streams',
        ),
        // The run was started, so the refusal still names its address.
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
      const given = uiAnswer(request.body)
      if (given !== undefined) return answered(request, reply, given)
      const asked = uiTurn(request.body, request.earlierMessages ?? [])
      app.streams.assertOpen(request.caller.userId)
      const turn = await placed(request.caller, asked, turnOptions(request).idempotencyKey)
      const started = await start(request, turn)
      // The engine may still have the stream of a run whose conversation was deleted meanwhile.
      if (started.replayed) await app.services.runs.streamed(request.caller, started.runId)
      reply.headers(startedHeaders(request, started))
      const viewer = await app.streams.view(
        started.runId,
        {
          from: 0,
          userId: request.caller.userId,
          ui: uiVersion(request.query.ui),
          expiresAt: request.tokenExpiresAt.getTime(),
          fresh: !started.replayed,
          metadata: messageMetadata(started),
        },
        connectionClosed(reply),
      )
      return sendStream(reply, viewer, started)
    },
  })

  /** Records the answers of a page about tool calls, and sends the stream of the run with which the turn goes on. */
  async function answered(
    request: FastifyRequest<{ Body: StreamBody; Querystring: { ui?: string } }>,
    reply: FastifyReply,
    given: UiAnswer,
  ) {
    await request.charge('start')
    const { userId } = request.caller
    const conversationId = conversationNamed(request.body, request.earlierMessages ?? [])
    if (conversationId === undefined) throw problem('action_not_found')
    app.streams.assertOpen(userId)
    const runId = await app.services.actions.answerAll(request.caller, conversationId, given, request.id)
    if (runId === undefined) return sendNothing(reply)
    const run = { runId, conversationId }
    const viewer = await app.streams.view(
      runId,
      {
        ...{ from: 0, userId, ui: uiVersion(request.query.ui), fresh: false },
        expiresAt: request.tokenExpiresAt.getTime(),
        metadata: messageMetadata(run),
      },
      connectionClosed(reply),
    )
    return sendStream(reply, viewer, run)
  }

  /** The turn with its place in its conversation, or with the history that begins a new one. */
  async function placed(caller: Caller, asked: UiTurn, idempotencyKey?: string): Promise<TurnRequest> {
    const { turn, page, history } = asked
    const conversationId = asked.conversationId ?? (await conversationOf(caller, asked))
    if (conversationId === undefined)
      return { ...turn, history, page: { wish: page.wish, openedBy: page.openedBy, chatId: page.chatId } }
    const place = await app.services.messages.placeOf(caller, conversationId, page, idempotencyKey)
    const isFound = asked.conversationId === undefined && asked.namedByChat !== conversationId
    return {
      ...turn,
      conversationId,
      // The request that began the conversation is the same one when it is repeated.
      ...(isFound ? { history } : {}),
      page: { wish: page.wish, place, isFound, chatId: page.chatId },
    }
  }

  /**
   * The conversation that the chat's id names. A page that changes its first question, or has it answered again, shows
   * no message that names the conversation: then it is the one that this question has opened, or in which the page's own
   * chat has asked last.
   */
  async function conversationOf(caller: Caller, asked: UiTurn): Promise<string | undefined> {
    const { conversations } = app.services
    const { namedByChat, page } = asked
    if (namedByChat !== undefined && (await conversations.exists(caller, namedByChat))) return namedByChat
    const own = page.chatId && (await conversations.ofChat(caller, page.chatId))
    if (own !== undefined) return own
    if (page.wish === 'append' || page.openedBy === undefined) return undefined
    return conversations.openedBy(caller, page.openedBy)
  }
}

export default stream
