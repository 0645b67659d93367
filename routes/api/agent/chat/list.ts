import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import type { PublicStatus } from '../../../../src/engine/run-status.ts'
import { AgentName } from '../../../../src/schemas/agent.ts'
import { ConversationId } from '../../../../src/schemas/ids.ts'
import { Metadata } from '../../../../src/schemas/metadata.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RUN_STATUSES, RunStatus, RunSummary } from '../../../../src/schemas/run.ts'
import { oneOf, ref } from '../../../../src/schemas/shared.ts'

/**
 * A filter by one or more values: `a,b`, or the name repeated. Generators of clients differ in the form that they send,
 * so both are read.
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

/** The values of a filter in one order, because a cursor stays valid when a caller orders the values differently. */
const setOf = (values: string | string[]) => [...new Set([values].flat().join(',').split(','))].sort()

const list: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/chat', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listAgentChats',
      summary: 'List runs',
      description:
        'The runs of the caller, newest first, without their contents. A run is listed when it fits all filters that are sent.',
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
          pending: Type.Optional(
            oneOf(['true'], { description: 'Only runs that wait for an answer about a tool call' }),
          ),
          agent: Type.Optional(AgentName),
          metadata: Type.Optional(
            Type.Unsafe<Static<typeof Metadata>>({
              ...Metadata,
              'x-name': undefined,
              // Without this example Swagger UI sends invented pairs.
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
      const { conversationId, status, runId, pending, ...query } = request.query
      return app.services.runs.list(request.caller, {
        ...query,
        ...(conversationId === undefined ? {} : { conversationId: conversationId.toLowerCase() }),
        ...(status === undefined ? {} : { status: setOf(status) as PublicStatus[] }),
        ...(runId === undefined ? {} : { runIds: setOf(runId) }),
        ...(pending === undefined ? {} : { pending: true }),
      })
    },
  })
}

export default list
