import { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import type { Logger } from 'pino'
import { isProbe } from './probes.ts'

/**
 * Logs one line per request when its answer has ended, at level debug for probes. Fastify logs the errors of answers
 * in lines of its own.
 */
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

/**
 * Adds fields to all further lines of a request. Fastify has made the logger for this request alone, so the logger
 * itself is changed: a logger derived from it would cost as much as the line.
 */
export function nameInLog(log: FastifyBaseLogger, fields: Record<string, string>): void {
  ;(log as Logger).setBindings(fields)
}

/** The fields of a request's log line; also for a request whose answer broke off. */
export const described = (request: FastifyRequest, reply: FastifyReply) => ({
  method: request.method,
  // The query and the headers are left out, because both may carry secrets.
  path: request.url.split('?', 1)[0],
  ...noted(request, reply),
  ...(reply.raw.headersSent ? { status: reply.statusCode } : {}),
  ms: Math.round(reply.elapsedTime),
})

export const levelOf = ({ routeOptions }: FastifyRequest) => (isProbe(routeOptions.url) ? 'debug' : 'info')

/** The run and the conversation of a request. A stream names them in headers, every other answer in its body. */
function noted({ noted }: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  const runId = reply.getHeader('x-run-id')
  const conversationId = reply.getHeader('x-conversation-id')
  return {
    ...(runId === undefined ? {} : { runId }),
    ...(conversationId === undefined ? {} : { conversationId }),
    ...noted,
  }
}
