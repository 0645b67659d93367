import type { FastifyRequest } from 'fastify'
import { problem } from '../errors.ts'
import type { RunStarted } from '../schemas/run.ts'
import type { StartedRun, TurnOptions } from '../services/start/turns.ts'
import { headerValues } from './header-values.ts'

/**
 * Reads the options of start, sync and stream from the headers of a request.
 * @throws Problem `invalid_request` for two `Idempotency-Key` headers, because Node would join them to a third key
 */
export function turnOptions(request: FastifyRequest): Omit<TurnOptions, 'agents'> {
  const { 'idempotency-key': key } = request.headers
  const { traceparent } = request
  if (headerValues(request.raw, 'idempotency-key').length > 1) {
    const fault = { in: 'header' as const, path: '/idempotency-key', message: 'must be sent once' }
    throw problem('invalid_request', {
      detail: `\`Idempotency-Key\` ${fault.message}.`,
      members: { errors: [fault] },
    })
  }
  return {
    ...(typeof key === 'string' ? { idempotencyKey: unquoted(key) } : {}),
    ...(traceparent !== undefined && TRACEPARENT.test(traceparent) ? { traceparent } : {}),
  }
}

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/** `"key"` (a structured field) and `key` are the same. */
const unquoted = (key: string): string => (key.startsWith('"') ? key.slice(1, -1) : key)

/** Headers of every answer that reports a started run. */
export function startedHeaders(
  { server }: FastifyRequest,
  { runId, replayed }: StartedRun,
): Record<string, string> {
  return {
    location: `${server.publicPath}/api/agent/chat/${runId}`,
    ...(replayed ? { 'idempotency-replayed': 'true' } : {}),
  }
}

/** The body of every answer that reports a started run. */
export function startedBody({ runId, conversationId }: StartedRun): RunStarted {
  return { runId, status: 'queued', ...(conversationId === undefined ? {} : { conversationId }) }
}
