import { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import type { Viewer } from '../streams/viewer.ts'

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
    if (!viewer.readableEnded) reset(reply.raw.socket)
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

/** Ends a connection with a reset (TCP RST). It is absent once it is closed, and no socket in injected requests. */
function reset(socket: unknown): void {
  if (socket instanceof Socket && !socket.destroyed) socket.resetAndDestroy()
}
