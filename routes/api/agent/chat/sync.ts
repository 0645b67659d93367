import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { gone } from '../../../../src/http/gone.ts'
import { preferredWait } from '../../../../src/http/prefer-wait.ts'
import { describeRun } from '../../../../src/http/run-answer.ts'
import { startTurn } from '../../../../src/http/start-turn.ts'
import { startedBody, startedHeaders } from '../../../../src/http/turn-options.ts'
import { RUN_EXAMPLES } from '../../../../src/schemas/examples.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RUN_HEADERS, Run, RunStarted } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import { IdempotencyHeaders, STARTED_HEADERS, TURN_PROBLEMS, TurnBody } from '../../../../src/schemas/turn.ts'

/** Below the time-outs of common proxies. */
const DEFAULT_WAIT_SECONDS = 45
const MAX_WAIT_SECONDS = 300

const sync: FastifyPluginAsyncTypebox = async (app) => {
  const start = startTurn(app)
  app.post('/api/agent/chat/sync', {
    config: { scope: 'agent:write', bucket: 'handler' },
    schema: {
      operationId: 'syncAgentChat',
      summary: 'Start a turn and wait for its answer',
      description:
        'The same durable run as that of a start; the request waits for its end. When the time is up the answer is that of a start, and the run goes on: poll it. Going away does not stop the run either.',
      tags: ['chat'],
      headers: Type.Intersect([
        IdempotencyHeaders,
        Type.Object({
          prefer: Type.Optional(
            Type.String({
              description: `\`wait=N\`: seconds to wait, at most ${MAX_WAIT_SECONDS} (default ${DEFAULT_WAIT_SECONDS})`,
              examples: ['wait=120'],
            }),
          ),
        }),
      ]),
      body: ref(TurnBody),
      response: {
        200: {
          description: 'The finished run: completed, failed or cancelled.',
          headers: { ...STARTED_HEADERS, 'Preference-Applied': PREFERENCE_APPLIED, ETag: RUN_HEADERS.ETag },
          content: { 'application/json': { schema: ref(Run), examples: ENDED_EXAMPLES } },
        },
        202: {
          ...ref(RunStarted),
          description: 'Not finished in time.',
          headers: {
            ...STARTED_HEADERS,
            'Preference-Applied': PREFERENCE_APPLIED,
            'Retry-After': RUN_HEADERS['Retry-After'],
          },
        },
        ...problems(...TURN_PROBLEMS),
      },
    },
    handler: async (request, reply) => {
      const wish = preferredWait(request.raw)
      const seconds = Math.min(wish ?? DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS)
      const until = performance.now() + seconds * 1000

      const started = await start(request, request.body)
      reply.headers(startedHeaders(request, started))
      if (wish !== undefined) reply.header('preference-applied', `wait=${seconds}`)
      const left = Math.max(0, until - performance.now())
      const run = await app.services.runs.endWithin(request.caller, started.runId, left, gone(reply))
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
