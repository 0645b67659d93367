import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { oneOf } from '../src/schemas/shared.ts'

const Readiness = Type.Object(
  {
    status: oneOf(['ok', 'degraded', 'starting', 'draining']),
    components: Type.Record(Type.String(), oneOf(['ok', 'down'])),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { $id: 'Readiness', description: 'Whether this instance should get traffic' },
)

const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/livez', {
    config: { access: 'public' },
    schema: {
      operationId: 'live',
      summary: 'Whether the process answers',
      tags: ['operations'],
      response: { 200: Type.Object({ status: oneOf(['ok']) }, { description: 'It does.' }) },
    },
    handler: async () => ({ status: 'ok' as const }),
  })

  app.get('/readyz', {
    config: { access: 'public' },
    schema: {
      operationId: 'ready',
      summary: 'Whether this instance should get traffic',
      description:
        'Ready once everything it needs has been there; an outage after that is `degraded`, still with 200.',
      tags: ['operations'],
      response: {
        200: { ...Readiness, $id: undefined, description: 'It should; `degraded` names what is away.' },
        503: { ...Readiness, $id: undefined, description: 'Not yet (`starting`), or no more (`draining`).' },
      },
    },
    handler: async (_request, reply) => {
      const readiness = await app.health.look()
      const up = readiness.status === 'ok' || readiness.status === 'degraded'
      return reply.code(up ? 200 : 503).send(readiness)
    },
  })
}

export default health
