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
        'The answer does not depend on the database or the engine, because a restart of this process would not bring them back.',
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
        'An instance is ready once the database and the engine have each been available. During an outage after that the status is `degraded` and the answer stays 200.',
      tags: ['operations'],
      response: {
        200: {
          description: 'The instance should get traffic. `components` names the dependencies that are down.',
          content: { 'application/json': { schema: Readiness } },
        },
        503: {
          description:
            'The instance should get no traffic: it is `starting`, or it is `draining` before it ends. In its last moments it answers with the problem `shutting_down`.',
          content: { 'application/json': { schema: Readiness } },
        },
        ...problems(...NO_HTTP),
      },
    },
    handler: async (_request, reply) => {
      const readiness = await app.health.readiness()
      const up = readiness.status === 'ok' || readiness.status === 'degraded'
      return reply.code(up ? 200 : 503).send(readiness)
    },
  })
}

export default health
