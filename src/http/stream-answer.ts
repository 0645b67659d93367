import type { FastifyReply } from 'fastify'
import { DONE } from '../streams/frame.ts'
import type { PacedViewer } from '../streams/paced-viewer.ts'
import { resetConnection } from './reset-connection.ts'

interface StreamedRun {
  runId: string
  conversationId?: string | null | undefined
}

/**
 * Sends server-sent events until the viewer ends, or until the client closes the connection.
 *
 * A viewer that is cut resets the connection. In HTTP/1.0, which many proxies speak to the service (nginx does by
 * default), the end of the connection is the end of the answer: after a clean close the client would take a partial
 * answer for the whole one.
 */
export function sendEvents(
  reply: FastifyReply,
  viewer: PacedViewer,
  headers: Record<string, string> = {},
): FastifyReply {
  viewer.once('close', () => {
    const { socket } = reply.raw
    if (!viewer.readableEnded && socket !== null && !socket.destroyed) resetConnection(socket)
  })
  return reply
    .headers({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...headers,
    })
    .send(viewer)
}

/** Sends the stream of a run. When the client closes the connection, its viewer ends, and the run goes on. */
export const sendStream = (
  reply: FastifyReply,
  viewer: PacedViewer,
  { runId, conversationId }: StreamedRun,
): FastifyReply =>
  sendEvents(reply, viewer, {
    'x-vercel-ai-ui-message-stream': 'v1',
    'x-run-id': runId,
    ...(conversationId ? { 'x-conversation-id': conversationId } : {}),
  })

/** Ends a stream that has no part: the page has answered about a tool call, and its turn waits for others. */
export const sendNothing = (reply: FastifyReply): FastifyReply =>
  reply
    .headers({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-vercel-ai-ui-message-stream': 'v1',
    })
    .send(DONE)

/** Metadata of the answer's message, as the worker writes it too. */
export const messageMetadata = ({ runId, conversationId }: StreamedRun): Record<string, string> => ({
  ...(conversationId ? { conversationId } : {}),
  runId,
})
