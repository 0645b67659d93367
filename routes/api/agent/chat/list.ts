import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { PublicStatus } from '../../../../src/engine/run-status.ts'
import { ConversationId } from '../../../../src/schemas/ids.ts'
import { Metadata } from '../../../../src/schemas/metadata.ts'
import { PageQuery, pageOf } from '../../../../src/schemas/page.ts'
import { problems } from '../../../../src/schemas/problem.ts'
import { RUN_STATUSES, RunSummary } from '../../../../src/schemas/run.ts'
import { ref } from '../../../../src/schemas/shared.ts'

const commaSeparated = (item: string) => `^${item}(,${item})*$`

/** A filter is the same however its values are ordered: a cursor goes by the filters. */
const setOf = (text: string) => [...new Set(text.split(','))].sort()

const list: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/agent/chat', {
    config: { scope: 'agent:read', bucket: 'read' },
    schema: {
      operationId: 'listAgentChats',
      summary: 'List runs',
      description: 'Your runs, newest first, without their contents.',
      tags: ['chat'],
      querystring: Type.Object(
        {
          ...PageQuery,
          conversationId: Type.Optional(ConversationId),
          status: Type.Optional(
            Type.String({
              pattern: commaSeparated(`(${RUN_STATUSES.join('|')})`),
              'x-fault': `must be one or more of ${RUN_STATUSES.join(', ')}, separated by commas`,
              description: 'One or more statuses, separated by commas',
            }),
          ),
          runId: Type.Optional(
            Type.String({
              pattern: commaSeparated('run_[^,]+'),
              maxLength: 4096,
              'x-fault': 'must be run ids, separated by commas',
              description: 'One or more run ids, separated by commas',
            }),
          ),
          metadata: Type.Optional(
            Type.Unsafe<Static<typeof Metadata>>({
              ...Metadata,
              style: 'deepObject',
              explode: true,
              description: 'Runs that carry all of these pairs: `metadata[ticket]=T-1042`',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: pageOf(ref(RunSummary), 'A page of runs.'),
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
