import type { FastifyReply } from 'fastify'
import type { Viewer } from '../streams/viewer.ts'
import { resetConnection } from './reset-connection.ts'

interface StreamedRun {
  runId: string
  conversationId?: string | null | undefined
}

/**
 * Sends a stream. When the client goes, its viewer goes too and the run goes on.
 *
 * A viewer that is cut resets the connection. In HTTP/1.0, which many proxies speak to the service (nginx does by
 * default), the end of the connection is the end of the answer: after a clean close the client would take what it
 * has for the whole answer.
 */
export function sendStream(
  reply: FastifyReply,
  viewer: Viewer,
  { runId, conversationId }: StreamedRun,
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
      'x-vercel-ai-ui-message-stream': 'v1',
      'x-run-id': runId,
      ...(conversationId ? { 'x-conversation-id': conversationId } : {}),
    })
    .send(viewer)
}

/** Metadata of the answer's message, as the worker writes it too. */
export const messageMetadata = ({ runId, conversationId }: StreamedRun): Record<string, string> => ({
  ...(conversationId ? { conversationId } : {}),
  runId,
})
