import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { connectionClosed } from '../../../../src/http/connection-closed.ts'
import { describeRun, endedTag, matches, tagOf } from '../../../../src/http/run-answer.ts'
import { RUN_EXAMPLES } from '../../../../src/schemas/examples.ts'
import { RunParams } from '../../../../src/schemas/ids.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RUN_HEADERS, Run } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'
import type { RunView } from '../../../../src/services/read/run-view.ts'

const MAX_WAIT_SECONDS = 30

const poll: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/chat/:runId', {
    exposeHeadRoute: false,
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'pollAgentChat',
      summary: 'Poll a run',
      description:
        'The state of a run, and its answer once it is completed.\n\n* `?wait=30` is a long poll: it answers when the run has changed, or after 30 seconds.\n* Without `wait`, `Retry-After` says when to ask again.\n* With the last `ETag` in `If-None-Match` an unchanged run is answered with 304.',
      tags: ['chat'],
      params: RunParams,
      querystring: Type.Object(
        {
          wait: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: MAX_WAIT_SECONDS,
              description:
                'Seconds to wait for a change before the answer; leave it out to get the run at once',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      headers: Type.Object({
        'if-none-match': Type.Optional(
          Type.String({ description: '`ETag` of the last poll; leave it out to get the run in any case' }),
        ),
      }),
      response: {
        200: {
          description: 'The run.',
          headers: RUN_HEADERS,
          content: { 'application/json': { schema: ref(Run), examples: RUN_EXAMPLES } },
        },
        304: Type.Unsafe<undefined>({
          type: 'null',
          description: 'Nothing has changed since `If-None-Match`.',
          headers: RUN_HEADERS,
        }),
        ...problems('run_not_found', 'database_unavailable'),
      },
    },
    handler: async (request, reply) => {
      const { caller, query, params } = request
      // A caller whose tag names an older state is answered at once.
      const knows = (seen: RunView) =>
        request.headers['if-none-match'] === undefined || matches(request, tagOf(seen))
      const hasContents = matches(request, endedTag(params.runId))
      let run = await app.services.runs.poll(caller, params.runId, {
        hasContents,
        wait: query.wait
          ? { milliseconds: query.wait * 1000, signal: connectionClosed(reply), knows }
          : undefined,
      })
      // The caller knows the run from before it was replaced, so the answer has to be whole.
      if (hasContents && !knows(run)) run = await app.services.runs.poll(caller, params.runId)
      describeRun(reply, run)
      return matches(request, tagOf(run)) ? reply.code(304).send() : reply.send(run)
    },
  })
}

export default poll
