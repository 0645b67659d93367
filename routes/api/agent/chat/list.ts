import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import type { PublicStatus } from '../../../../src/engine/run-status.ts'
import { ConversationId } from '../../../../src/schemas/ids.ts'
import { Metadata } from '../../../../src/schemas/metadata.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RUN_STATUSES, RunStatus, RunSummary } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'

/**
 * A filter by one or more values: `a,b`, or the name repeated. Which of the two a client sends depends on its
 * generator, so both are read.
 */
function filter(
  pattern: string,
  { fault, item, description }: { fault: string; item: TSchema; description: string },
) {
  const values = { type: 'string', pattern: `^${pattern}(,${pattern})*$`, maxLength: 4096 }
  return Type.Optional(
    Type.Unsafe<string | string[]>({
      anyOf: [values, { type: 'array', items: values, maxItems: 100 }],
      style: 'form',
      explode: false,
      'x-fault': fault,
      description,
      'x-document': { type: 'array', items: item },
    }),
  )
}

/** A filter is the same however its values are ordered: a cursor goes by the filters. */
const setOf = (values: string | string[]) => [...new Set([values].flat().join(',').split(','))].sort()

const list: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/chat', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listAgentChats',
      summary: 'List runs',
      description:
        'Your runs, newest first, without their contents. All filters may be left out; a run has to fit all that are sent.',
      tags: ['chat'],
      querystring: Type.Object(
        {
          ...PageQuery,
          conversationId: Type.Optional(ConversationId),
          status: filter(`(${RUN_STATUSES.join('|')})`, {
            fault: `must be one or more of ${RUN_STATUSES.join(', ')}, separated by commas`,
            item: RunStatus,
            description: 'One or more statuses, separated by commas',
          }),
          runId: filter('run_[^,]+', {
            fault: 'must be run ids, separated by commas',
            item: Type.String(),
            description: 'One or more run ids, separated by commas',
          }),
          metadata: Type.Optional(
            Type.Unsafe<Static<typeof Metadata>>({
              ...Metadata,
              'x-name': undefined,
              // Without it Swagger UI sends pairs of its own invention.
              examples: [{}],
              style: 'deepObject',
              explode: true,
              description: 'Runs that carry all of these pairs: `metadata[ticket]=T-1042`',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: pageOf(ref(RunSummary), 'RunPage', 'A page of runs.'),
        ...problems('invalid_cursor', 'database_unavailable'),
      },
    },
    handler: async (request) => {
      const { conversationId, status, runId, ...query } = request.query
      return app.services.runs.list(request.caller, {
        ...query,
        ...(conversationId === undefined ? {} : { conversationId: conversationId.toLowerCase() }),
        ...(status === undefined ? {} : { status: setOf(status) as PublicStatus[] }),
        ...(runId === undefined ? {} : { runIds: setOf(runId) }),
      })
    },
  })
}

export default list
