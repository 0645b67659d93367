import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'

/** One line per request, when it is over. Otherwise Fastify's own lines about what goes wrong with answers. */
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
    const line = {
      ...described(request),
      ...noted(request, reply),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
    }
    if (error) request.log.warn({ ...line, err: error }, 'the answer broke off')
    else request.log.info(line, 'answered')
  }
}

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

/** No query and no headers: both may carry what does not belong into a log. */
export const described = ({ method, url }: FastifyRequest) => ({ method, path: url.split('?', 1)[0] })
