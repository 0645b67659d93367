import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { isProbe } from './probes.ts'

/** One line per request, when it is over; those about probes are for debugging. Otherwise Fastify's own lines about what goes wrong with answers. */
export class RequestLog extends LogController {
  constructor() {
    super({ requestIdLogLabel: 'requestId' })
  }

  override incomingRequest(): void {}

  override requestCompleted(
    error: Error | null | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): void {
    if (error) request.log.warn({ ...described(request, reply), err: error }, 'the answer broke off')
    else request.log[levelOf(request)](described(request, reply), 'answered')
  }
}

/** What came of a request as far as that is known: also of one whose answer never got to its end. */
export const described = (request: FastifyRequest, reply: FastifyReply) => ({
  method: request.method,
  // No query and no headers: both may carry what does not belong into a log.
  path: request.url.split('?', 1)[0],
  ...noted(request, reply),
  ...(reply.raw.headersSent ? { status: reply.statusCode } : {}),
  ms: Math.round(reply.elapsedTime),
})

export const levelOf = ({ routeOptions }: FastifyRequest) => (isProbe(routeOptions.url) ? 'debug' : 'info')

/** Which run and conversation it was about; a stream says so in headers, everything else in its body. */
function noted({ noted }: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  const runId = reply.getHeader('x-run-id')
  const conversationId = reply.getHeader('x-conversation-id')
  return {
    ...(runId === undefined ? {} : { runId }),
    ...(conversationId === undefined ? {} : { conversationId }),
    ...noted,
  }
}
