import type { FastifyReply } from 'fastify'
import type { Viewer } from '../streams/viewer.ts'

/** Sends a stream; when the client goes, the viewer goes with it and the run goes on. */
export function sendStream(
  reply: FastifyReply,
  viewer: Viewer,
  { runId, conversationId }: { runId: string; conversationId?: string | null | undefined },
): FastifyReply {
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
