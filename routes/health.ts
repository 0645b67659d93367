import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { NO_HTTP, problems } from '../src/schemas/problem.ts'
import { oneOf } from '../src/schemas/shared.ts'

const Readiness = Type.Object(
  {
    status: oneOf(['ok', 'degraded', 'starting', 'draining']),
    components: Type.Record(Type.String(), oneOf(['ok', 'down'])),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { 'x-name': 'Readiness', description: 'Whether this instance should get traffic' },
)

const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/livez', {
    config: { access: 'public' },
    schema: {
      operationId: 'live',
      summary: 'Whether the process answers',
      description:
        'Says nothing of the database or the engine: restarting this process would not bring them back.',
      tags: ['operations'],
      response: {
        200: Type.Object(
          { status: oneOf(['ok']) },
          { 'x-name': 'Liveness', description: 'The process answers.' },
        ),
        ...problems(...NO_HTTP),
      },
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
        200: {
          description: 'It should; `degraded` names what is away.',
          content: { 'application/json': { schema: Readiness } },
        },
        503: {
          description:
            'Not yet (`starting`), or no more (`draining`, or `shutting_down` in the last moments).',
          content: { 'application/json': { schema: Readiness } },
        },
        ...problems(...NO_HTTP),
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
