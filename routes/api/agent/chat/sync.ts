import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { connectionClosed } from '../../../../src/http/connection-closed.ts'
import { dropHistory, turnOf } from '../../../../src/http/history.ts'
import { preferredWait } from '../../../../src/http/prefer-wait.ts'
import { describeRun } from '../../../../src/http/run-answer.ts'
import { startTurn, type TurnRoutes } from '../../../../src/http/start-turn.ts'
import { startedBody, startedHeaders } from '../../../../src/http/turn-options.ts'
import { RUN_EXAMPLES } from '../../../../src/schemas/examples.ts'
import { problems, withHeaders } from '../../../../src/schemas/problem.ts'
import { EndedRun, RUN_HEADERS, RunStarted } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS, TurnBody } from '../../../../src/schemas/turn.ts'

/** The default wait is below the time-outs of common proxies. */
const DEFAULT_WAIT_SECONDS = 45
const MAX_WAIT_SECONDS = 300

const sync: FastifyPluginAsyncTypebox<TurnRoutes> = async (app, options) => {
  const start = startTurn(app, options)
  app.post('/api/agent/chat/sync', {
    preValidation: async (request) => dropHistory(request.body),
    config: { scope: 'agent:write', bucket: 'handler' },
    schema: {
      operationId: 'syncAgentChat',
      summary: 'Start a turn and wait for its answer',
      description:
        '1. The service starts the same run as `POST /api/agent/chat`, and waits for its end: 45 seconds, or as long as `Prefer: wait=120` says.\n2. 200 means that the run has ended. Its `status` says whether it completed, failed or was cancelled.\n3. 202 means that the run goes on. Poll the address in `Location`.\n\nThe run goes on when the client closes the connection.',
      tags: ['chat'],
      headers: Type.Intersect([
        IdempotencyHeaders,
        Type.Object({
          prefer: Type.Optional(
            Type.String({
              description: `Seconds to wait, for example \`wait=120\`: at most ${MAX_WAIT_SECONDS}, and ${DEFAULT_WAIT_SECONDS} when left out`,
            }),
          ),
        }),
      ]),
      body: ref(TurnBody),
      response: {
        200: {
          description: 'The finished run: completed, failed or cancelled.',
          headers: { ...STARTED_HEADERS, 'Preference-Applied': PREFERENCE_APPLIED, ETag: RUN_HEADERS.ETag },
          content: { 'application/json': { schema: ref(EndedRun), examples: ENDED_EXAMPLES } },
        },
        202: {
          ...ref(RunStarted),
          description: 'The run has not ended in time.',
          headers: {
            ...STARTED_HEADERS,
            'Preference-Applied': PREFERENCE_APPLIED,
            'Retry-After': RUN_HEADERS['Retry-After'],
          },
        },
        ...withHeaders(
          { 'Preference-Applied': PREFERENCE_APPLIED },
          problems('invalid_request', ...TURN_PROBLEMS, 'rate_limited', 'internal'),
        ),
        // The conversation of the run was deleted while the request waited: the run had been started.
        ...withHeaders(
          { ...STARTED_HEADERS, 'Preference-Applied': PREFERENCE_APPLIED },
          problems('conversation_not_found', 'run_not_found'),
        ),
      },
    },
    handler: async (request, reply) => {
      const wish = preferredWait(request.raw)
      const seconds = Math.min(wish ?? DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS)
      const until = performance.now() + seconds * 1000

      const started = await start(request, turnOf(request.body))
      reply.headers(startedHeaders(request, started))
      if (wish !== undefined) reply.header('preference-applied', `wait=${seconds}`)
      const left = Math.max(0, until - performance.now())
      const run = await app.services.runs.endWithin(request.caller, started, left, connectionClosed(reply))
      if (run !== undefined) return describeRun(reply, run).send(run)
      return reply.code(202).header('retry-after', 1).send(startedBody(started))
    },
  })
}

const PREFERENCE_APPLIED = { type: 'string', description: 'The `wait` that was granted' }
const ENDED_EXAMPLES = {
  completed: RUN_EXAMPLES.completed,
  failed: RUN_EXAMPLES.failed,
  cancelled: RUN_EXAMPLES.cancelled,
}

export default sync
